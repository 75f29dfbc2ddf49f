-- include birth
-- include checks
-- Records of one tenant come to be as by create.lua, where their ids are new: none held, none a line
-- of a batch. KEYS as a birth, where a request's own are given as what stands before its id. ARGV: 1
-- how many fields and values all of them share, then those, then for each its id, its envelope, how
-- many fields and values are its own, and those. Answers 1 for each that is new.
local last_shared = 1 + tonumber(ARGV[1])
local shared = {__index = fields_at(2, last_shared)}
local time = now()
local answer, waiting, checks, listed = {}, {}, {}, {}

local function make(id, envelope, first, last)
  put(KEYS[1] .. id, 2, last_shared)
  if first < last then
    redis.call('HSET', KEYS[1] .. id, unpack(ARGV, first, last))
  end
  redis.call('SET', KEYS[3] .. id, envelope)
  local born = setmetatable(fields_at(first, last), shared)
  local at = next_check(time, false, false, nil, born.deadline)
  checks[#checks + 1], checks[#checks + 2] = instant(at), id
  listed[#listed + 1], listed[#listed + 2] = born.accepted_at, id
  local key = born.model .. '\0' .. born.priority .. '\0' .. born.tenant
  waiting[key] = (waiting[key] or 0) + 1
end

local place = last_shared + 1
while place < #ARGV do
  local id, first = ARGV[place], place + 3
  local last = first + tonumber(ARGV[place + 2]) - 1
  local new = redis.call('EXISTS', KEYS[1] .. id) == 0
  if new then
    make(id, ARGV[place + 1], first, last)
  end
  answer[#answer + 1] = new and 1 or 0
  place = last + 1
end
if #checks > 0 then
  redis.call('ZADD', KEYS[2], unpack(checks))
  redis.call('ZADD', KEYS[14], unpack(listed))
end
for key, number in pairs(waiting) do
  local model, priority, tenant = string.match(key, '^(.-)%z(.-)%z(.*)$')
  count(model, priority, tenant, number)
end
return answer
