-- include slots
-- PROTOCOL 3, reserve, where nothing but slots is limited; an id that holds one holds it still.
-- KEYS as slots.lua, 6 the mark of live ones, then, where some ask for it, as slots.lua for the cap
-- beside live ones. ARGV: 1 limit, 2 line, 3 pulse seen, 4 channel prefix, 5 limit of that cap,
-- 6.. reservation ids, each with its score and 1 if it is under that cap, 0 if it is live.
-- Answers the pulse, and the places of those in the row that may start.
local time = now_ms()
pulse(KEYS, time, ARGV[3])
local line, all_new = enter(KEYS, time, tonumber(ARGV[1]), ARGV[2], ARGV[4]), false
local beside = KEYS[7] and beside_live({unpack(KEYS, 7)}, KEYS[6], tonumber(ARGV[5]), line)
local answer, live = {time}, false
for i = 6, #ARGV, 3 do
  local id, score, under = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2] == '1' and beside
  local held = not all_new and redis.call('ZSCORE', KEYS[1], id)
  all_new = all_new or not held
  if held then
    answer[#answer + 1] = (i - 6) / 3
  elseif under and not under.admits(score) then
    -- it waits for that
  elseif admits(line, score) then
    take(line, id)
    if under then
      under.take(id)
    elseif not live then
      live = true
      note_live(KEYS[6])
    end
    answer[#answer + 1] = (i - 6) / 3
  else
    wait(line, score)
  end
end
leave(line)
if beside then
  beside.leave()
end
return answer
