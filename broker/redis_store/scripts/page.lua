-- include clock
-- include behind
-- One step of a list of batches or files, of bounded work. KEYS: 1 its zset: ids by created_at. ARGV:
-- 1 what stands before the id in a hash's key, which shares the hash tag, 2 created_at and 3 id of the
-- place to go on behind, 4 newest or oldest (first), 5 how many to find, 6 how many to look at, 7 a
-- field and 8 its value, or ''. Answers what it found, and where it stopped: nothing at the list's end.
local newest, wanted, most = ARGV[4] == 'newest', tonumber(ARGV[5]), tonumber(ARGV[6])
local time, matches, gone, stopped = now(), {}, {}, false

local function fits(found)
  return (ARGV[8] == '' or found[3] == ARGV[8]) and not (found[2] and time >= tonumber(found[2]))
end

local entries = entries_behind(KEYS[1], newest, ARGV[2], ARGV[3], most)
for at = 1, #entries, 2 do
  local id = entries[at]
  local found = redis.call('HMGET', ARGV[1] .. id, 'created_at', 'expires_at', ARGV[7])
  if not found[1] then
    gone[#gone + 1] = id
  elseif fits(found) then
    matches[#matches + 1] = {id, redis.call('HGETALL', ARGV[1] .. id)}
  end
  if #matches == wanted or at + 1 == 2 * most then
    stopped = {entries[at + 1], id}
    break
  end
end
if #gone > 0 then
  redis.call('ZREM', KEYS[1], unpack(gone))
end
return {matches, stopped}
