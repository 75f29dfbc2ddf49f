-- include batch
-- A batch comes to be. ARGV: 2 created_at, 3 tenant, 4 channel of all, 5.. fields and values.
-- Answers 0 if its id exists.
if redis.call('EXISTS', BATCH) == 1 then
  return 0
end
redis.call('HSET', BATCH, unpack(ARGV, 5))
redis.call('ZADD', KEYS[13], ARGV[2], ID)
redis.call('ZADD', list_key(ARGV[3]), ARGV[2], ID)
redis.call('HINCRBY', KEYS[8], ARGV[3], 0) -- who prunes the lists finds the tenant there
redis.call('PUBLISH', ARGV[4], cmsgpack.pack({'batches'}))
return 1
