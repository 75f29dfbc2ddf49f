-- include batch
-- include birth
-- include checks
-- The records of lines come to be. ARGV: 3 how many fields and values all of them share, then those,
-- then for each line its number, how many are its own, and those. Answers for each whether to publish
-- it; nothing where the batch is not to be fed.
local found = redis.call('HMGET', BATCH, 'token', 'status', 'paused')
if found[1] ~= ARGV[2] or found[2] ~= 'in_progress' or found[3] then
  return false
end
local last_shared = 3 + tonumber(ARGV[3])
local shared = {__index = fields_at(4, last_shared)}
local time, waiting = now(), {}

local function make(record, id, first, last)
  put(record, 4, last_shared)
  if first < last then
    redis.call('HSET', record, unpack(ARGV, first, last))
  end
  local born = setmetatable(fields_at(first, last), shared)
  local due = born.not_before or born.accepted_at
  check_at(next_check(time, born.published, born.held_by, due, born.deadline), id)
  local key = born.model .. '\0' .. born.priority .. '\0' .. born.tenant
  waiting[key] = (waiting[key] or 0) + 1
end

-- Whether to publish the line; one that nobody has claimed yet may have been lost on the way.
local function feed(line, first, last)
  if not is_due(ID, line) then
    return false
  end
  local id = request_of(line)
  local record = KEYS[1] .. id
  local known = redis.call('HMGET', record, 'status', 'attempt')
  if not known[1] then
    make(record, id, first, last)
    return true
  end
  return known[1] == 'queued' and not known[2]
end

local answer, place, line = {}, last_shared + 1
while place < #ARGV do
  local first = place + 2
  local last = first + tonumber(ARGV[place + 1]) - 1
  line = tonumber(ARGV[place])
  answer[#answer + 1] = feed(line, first, last) and 1 or 0
  place = last + 1
end
for key, number in pairs(waiting) do
  local model, priority, tenant = string.match(key, '^(.-)%z(.-)%z(.*)$')
  count(model, priority, tenant, number)
end
note_made(ID, line)
return answer
