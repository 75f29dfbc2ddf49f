-- include batch
-- Which of its lines have ended: answers how many were made, the first of them that the bits tell of,
-- and the bits. All before that one have ended.
local found = redis.call('HMGET', BATCH, 'status', 'made')
local made = not TERMINAL[found[1]] and tonumber(found[2] or 0) or 0
local first = math.floor(first_due(0) / 8)
if first * 8 >= made then
  return {made, made, ''}
end
return {made, first * 8, redis.call('GETRANGE', DONE, first, math.floor((made - 1) / 8))}
