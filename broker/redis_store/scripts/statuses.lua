-- include clock
-- What many requests are now. KEYS: 1 what stands before the id in the names of their records. ARGV:
-- ids. Answers the status of each, false for one that is unknown or past its retention.
local time, answer = now(), {}
for place, id in ipairs(ARGV) do
  local found = redis.call('HMGET', KEYS[1] .. id, 'status', 'expires_at')
  local is_past = found[2] and tonumber(found[2]) <= time
  answer[place] = not is_past and found[1] or false
end
return answer
