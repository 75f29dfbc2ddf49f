-- The models that something waits for. KEYS: 1 set of those that something once waited for; the
-- hashes of their counts, under its name and theirs, share its hash tag.
local waited_for = {}
for _, model in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', KEYS[1] .. ':' .. model) == 1 then
    waited_for[#waited_for + 1] = model
  else
    redis.call('SREM', KEYS[1], model)
  end
end
return waited_for
