-- include batch
-- A batch enters a status. ARGV: 3 status, 4 when, 5 how long it stays if that is its end, in ms, 6
-- how many lines must be written, or '', 7 how many statuses lead there, then those, then fields and
-- values. Answers 0 where none leads there, or other lines are written.
if is_fenced_off() then
  return 0
end
local status = redis.call('HGET', BATCH, 'status')
if status == ARGV[3] then
  return 1 -- written before; that answer was lost
end
if ARGV[6] ~= '' and written() ~= tonumber(ARGV[6]) then
  return 0
end
local first = 8 + tonumber(ARGV[7])
for place = 8, first - 1 do
  if ARGV[place] == status then
    if first < #ARGV then
      redis.call('HSET', BATCH, unpack(ARGV, first))
    end
    enter(ARGV[3], ARGV[4], ARGV[5])
    return 1
  end
end
return 0
