-- include close
-- PROTOCOL 1: queued -> failed (not_accepted), while no worker ever had it. ARGV as close.
-- Answers 0 if a worker has or had it, else 1.
local found = redis.call('HMGET', KEYS[1], 'status', 'attempt', 'code')
if not found[1] or found[3] == 'not_accepted' then
  return 1
end
if found[1] ~= 'queued' or found[2] then
  return 0
end
close({silent = true, code = 'not_accepted'})
return 1
