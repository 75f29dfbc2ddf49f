-- include close
-- include vacant
-- include birth
-- PROTOCOL 1: queued -> failed (not_accepted), while no worker ever had it. ARGV as close, then:
-- 7 generation, 8 accepted_at, 9.. fields at birth. Answers 0 if a worker has or had it, else 1.
if vacant(ARGV[7]) then
  -- A create still on its way must find it refused.
  birth(9, fields_at(9, #ARGV))
end
local found = redis.call('HMGET', KEYS[1],
  'status', 'attempt', 'code', 'generation', 'published', 'accepted_at')
if found[3] == 'not_accepted' then
  return 1
end
if found[6] ~= ARGV[8] then
  return 1 -- a repeated submission has made it, and may have told so; this one's never came to be
end
if found[1] ~= 'queued' or found[2] then
  return 0
end
if found[5] and tonumber(found[4] or 0) == tonumber(ARGV[7]) then
  return 0 -- a repeated submission has published it since, and may have told so
end
if tonumber(found[4] or 0) > tonumber(ARGV[7]) then
  return 1 -- it was taken back before: only so can a newer one have taken its place unclaimed
end
close({silent = true, code = 'not_accepted'})
return 1
