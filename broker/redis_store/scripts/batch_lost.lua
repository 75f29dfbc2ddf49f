-- include batch
-- Those lines that have neither ended nor a record. ARGV: 2 packed lines.
local lost = {}
if is_running(ID) then
  for _, line in ipairs(cmsgpack.unpack(ARGV[2])) do
    if redis.call('EXISTS', KEYS[1] .. request_of(line)) == 0 and is_due(ID, line) then
      lost[#lost + 1] = line
    end
  end
end
return lost
