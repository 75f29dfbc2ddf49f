-- include limits
-- PROTOCOL 3: drops the turns of requests that will not come. KEYS as limits.lua.
-- ARGV: 1 prefix, 2.. request ids.
at_now(ARGV[1])
for place, packed in ipairs(redis.call('HMGET', BOOKED, unpack(ARGV, 2))) do
  if packed then
    unbook(ARGV[place + 1])
  end
end
save_rates()
return 1
