-- include line
-- Part of the scripts about one batch. KEYS as record.lua, where a request's own names are what stands
-- before its id; 13 is the zset of batches that want a runner, by created_at, and begins the names of
-- the rest: `<id>`, a hash; `<id>:done` and `<id>:failed`, bits by line; `<id>:ends`, a list of
-- lines; `<id>:hold`, who runs it; `of:<tenant>`, a zset of all by created_at. ARGV: 1 batch id, and 2 of a fenced step its token.
local ID = ARGV[1]
local BATCH, DONE, ENDS = batch_key(ID), done_key(ID), ends_key(ID)
local FAILED, HOLD = BATCH .. ':failed', BATCH .. ':hold'

local function is_fenced_off()
  return redis.call('HGET', BATCH, 'token') ~= ARGV[2]
end

-- The id of a line's request, as schemas/ids.py makes it.
local function request_of(line)
  return 'req_' .. string.sub(ID, 7, 32) .. string.format('%08x', line)
end

-- The first line from this one on that has not ended.
local function first_due(line)
  local due = redis.call('BITPOS', DONE, 0, line, -1, 'BIT')
  return due < 0 and redis.call('STRLEN', DONE) * 8 or due
end

-- How many lines are in the files: a rollback can take back what its runner knows to be there.
local function written()
  local found = redis.call('HMGET', BATCH, 'completed', 'failed')
  return tonumber(found[1] or 0) + tonumber(found[2] or 0)
end

local function list_key(tenant)
  return KEYS[13] .. ':of:' .. tenant
end

-- What only its lines needed goes with its end; the rest stays for `kept`, in ms.
local function enter(status, at, kept)
  redis.call('HSET', BATCH, 'status', status, 'at:' .. status, at)
  if TERMINAL[status] then
    redis.call('DEL', DONE, ENDS)
    redis.call('PEXPIRE', BATCH, kept)
    redis.call('PEXPIRE', FAILED, kept)
  end
end
