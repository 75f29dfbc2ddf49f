-- include batch
-- include file
-- One durable step of the gatherer: all of it or nothing. KEYS: 14 as file.lua. ARGV: 3 a digest of
-- the step, 4 packed {lines, failed, adds (field to number), sets (field to value), files (each {id,
-- packed part, bytes, fields}), how many lines must be written before, if that is known}. Answers 0
-- where it is not this holder's to take.
local found = redis.call('HMGET', BATCH, 'token', 'status', 'step', 'order', 'gathered',
  'line_events', 'terms')
if found[1] ~= ARGV[2] then
  return 0
end
if found[3] == ARGV[3] then
  return 1 -- taken before; that answer was lost
end
if TERMINAL[found[2]] then
  return 0
end
local time = now()

-- In the order of the input they must be the next, all of them ended.
local function take_in_order(lines)
  local gathered = tonumber(found[5] or 0)
  for place, line in ipairs(lines) do
    if line ~= gathered + place - 1 then
      return false
    end
  end
  if gathered + #lines > first_due(gathered) then
    return false
  end
  redis.call('HSET', BATCH, 'gathered', gathered + #lines)
  return true
end

-- Each must be in the list; mostly they are its head, in some order.
local function take_from_list(lines)
  local wanted = {}
  for _, line in ipairs(lines) do
    wanted[tostring(line)] = true
  end
  local is_head = true
  for _, line in ipairs(redis.call('LRANGE', ENDS, 0, #lines - 1)) do
    is_head = is_head and wanted[line]
    wanted[line] = nil
  end
  if is_head and not next(wanted) then
    redis.call('LTRIM', ENDS, #lines, -1)
    return true
  end
  for line in pairs(wanted) do
    if not redis.call('LPOS', ENDS, line) then
      return false
    end
  end
  for _, line in ipairs(lines) do
    redis.call('LREM', ENDS, 1, line)
  end
  return true
end

-- Who is told of the ends of lines one by one still wants their records.
local function let_expire(record, result)
  local expires_at = redis.call('HGET', record, 'expires_at')
  local left = milliseconds(tonumber(expires_at or 0) - time)
  redis.call('PEXPIRE', record, left)
  redis.call('PEXPIRE', result, left)
end

local function drop(lines)
  for _, line in ipairs(lines) do
    local id = request_of(line)
    if found[6] then
      let_expire(KEYS[1] .. id, KEYS[4] .. id)
    else
      redis.call('DEL', KEYS[1] .. id, KEYS[4] .. id)
    end
  end
end

local function append(file)
  local id, part, bytes, fields = unpack(file)
  if redis.call('EXISTS', file_key(id)) == 0 then
    local terms = cmsgpack.unpack(found[7])
    make_file(id, terms.tenant, instant(time), instant(time + terms.output_kept_s), fields)
  end
  add_part(id, part, bytes)
end

local lines, failed, adds, sets, files, after = unpack(cmsgpack.unpack(ARGV[4]))
if after and written() ~= after then
  return 0
end
if #lines > 0 and not (found[4] == 'input' and take_in_order or take_from_list)(lines) then
  return 0
end
drop(lines)
for _, line in ipairs(failed) do
  redis.call('SETBIT', FAILED, line, 1)
end
for field, number in pairs(adds) do
  redis.call('HINCRBY', BATCH, field, number)
end
for field, value in pairs(sets) do
  redis.call('HSET', BATCH, field, value)
end
for _, file in ipairs(files) do
  append(file)
end
redis.call('HSET', BATCH, 'step', ARGV[3])
return 1
