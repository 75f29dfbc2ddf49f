-- include batch
-- Those lines that have neither ended nor a record. ARGV: 2 packed lines. A worker of an older version
-- ends a line as any request; that is made good here.
local lost = {}
if not is_running(ID) then
  return lost
end
for _, line in ipairs(cmsgpack.unpack(ARGV[2])) do
  if is_due(ID, line) then
    local status = redis.call('HGET', KEYS[1] .. request_of(line), 'status')
    if not status then
      lost[#lost + 1] = line
    elseif TERMINAL[status] then
      end_line(ID, line)
    end
  end
end
return lost
