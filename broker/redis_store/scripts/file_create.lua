-- include file
-- A file comes to be; its blobs are stored. ARGV: 1 id, 2 tenant, 3 created_at, 4 expires_at, 5 how
-- many fields and values, then those, then for each part itself and its bytes. Answers 0 if its id
-- exists.
if redis.call('EXISTS', file_key(ARGV[1])) == 1 then
  return 0
end
local first_part = 6 + tonumber(ARGV[5])
make_file(ARGV[1], ARGV[2], ARGV[3], ARGV[4], {unpack(ARGV, 6, first_part - 1)})
for place = first_part, #ARGV, 2 do
  add_part(ARGV[1], ARGV[place], ARGV[place + 1])
end
return 1
