-- include clock
-- include behind
-- One step of a list, of bounded work. KEYS: 1 its zset: ids by accepted_at. ARGV: 1 what stands
-- before the id in a record's key, 2 in a result's, 3 in the key without which a dead letter is gone
-- or '', 4 newest or oldest (first), 5 accepted_at and 6 id of the place to go on behind, 7 the
-- accepted_at where the list ends, 8 how many to find, 9 how many to look at, 10 how many bytes of a
-- result, 11 tenant, 12 model, 13 priority, each or '', 14.. statuses. All the keys share a hash tag.
-- Answers what it found, and where it stopped: nothing at the end of the list.
local newest, last = ARGV[4] == 'newest', tonumber(ARGV[7])
local wanted, most = tonumber(ARGV[8]), tonumber(ARGV[9])
local TERMINAL = {completed = true, failed = true, cancelled = true, expired = true}
local statuses = {}
for at = 14, #ARGV do
  statuses[ARGV[at]] = true
end
local time = now()

local function is_gone(id, found)
  return not found[1] or ARGV[3] ~= '' and redis.call('EXISTS', ARGV[3] .. id) == 0
end

local function fits(found)
  return (ARGV[3] ~= '' or not found[5] or time < tonumber(found[5]))
    and (ARGV[11] == '' or found[2] == ARGV[11])
    and (ARGV[12] == '' or found[3] == ARGV[12])
    and (ARGV[13] == '' or found[4] == ARGV[13])
    and (#ARGV < 14 or statuses[found[1]])
end

local matches, gone, stopped = {}, {}, false
local entries = entries_behind(KEYS[1], newest, ARGV[5], ARGV[6], most)
for at = 1, #entries, 2 do
  local id, score = entries[at], entries[at + 1]
  if newest and tonumber(score) <= last or not newest and tonumber(score) >= last then
    break
  end
  local found = redis.call('HMGET', ARGV[1] .. id,
    'status', 'tenant', 'model', 'priority', 'expires_at')
  if is_gone(id, found) then
    gone[#gone + 1] = id
  elseif fits(found) then
    local head = TERMINAL[found[1]] and redis.call('GETRANGE', ARGV[2] .. id, 0, ARGV[10] - 1)
    matches[#matches + 1] = {id, redis.call('HGETALL', ARGV[1] .. id), head or ''}
  end
  if #matches == wanted or at + 1 == 2 * most then
    stopped = {score, id}
    break
  end
end
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
end
return {matches, stopped}
