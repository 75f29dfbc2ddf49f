-- include slots
-- PROTOCOL 3, reserve, where nothing but slots is limited; an id that holds one holds it still.
-- ARGV: 1 limit, 2 line, 3 pulse seen, 4 channel prefix, 5.. reservation ids, each with its score.
-- Answers the pulse, and the places of those in the row that may start.
local time = now_ms()
pulse(KEYS, time, ARGV[3])
local line, all_new = enter(KEYS, time, tonumber(ARGV[1]), ARGV[2], ARGV[4]), false
local answer = {time}
for i = 5, #ARGV, 2 do
  local score = tonumber(ARGV[i + 1])
  local held = not all_new and redis.call('ZSCORE', KEYS[1], ARGV[i])
  all_new = all_new or not held
  if held then
    answer[#answer + 1] = (i - 5) / 2
  elseif admits(line, score) then
    take(line, ARGV[i])
    answer[#answer + 1] = (i - 5) / 2
  else
    wait(line, score)
  end
end
leave(line)
return answer
