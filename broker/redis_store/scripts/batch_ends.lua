-- include batch
-- Lines that have ended and are not gathered. ARGV: 2 how many to pass over, 3 how many to answer, 4
-- about how many bytes of results. Answers the line, its fields and its result, of each.
local function next_lines(first, number)
  if redis.call('HGET', BATCH, 'order') ~= 'input' then
    return redis.call('LRANGE', ENDS, first, first + number - 1)
  end
  first = first + tonumber(redis.call('HGET', BATCH, 'gathered') or 0)
  local lines = {}
  for line = first, math.min(first_due(first), first + number) - 1 do
    lines[#lines + 1] = line
  end
  return lines
end

-- A rollback of Redis can have taken what it had before the end: then that is no end.
local function forget_end(line, id)
  redis.call('DEL', KEYS[1] .. id, KEYS[4] .. id)
  redis.call('SETBIT', DONE, line, 0)
  redis.call('LREM', ENDS, 1, line)
end

local bytes, ended = 0, {}
for _, each in ipairs(next_lines(tonumber(ARGV[2]), tonumber(ARGV[3]))) do
  local line = tonumber(each)
  local id = request_of(line)
  local fields, result = redis.call('HGETALL', KEYS[1] .. id), redis.call('GET', KEYS[4] .. id)
  if result and #fields > 0 then
    ended[#ended + 1] = {line, fields, result}
    bytes = bytes + #result
    if bytes >= tonumber(ARGV[4]) then
      break
    end
  else
    forget_end(line, id)
    break
  end
end
return ended
