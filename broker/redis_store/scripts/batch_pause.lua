-- include batch
-- Lets the feeder rest or go on. ARGV: 2 '1' or '' to go on, 3 channel of all. Answers its fields.
if is_running(ID) then
  if ARGV[2] == '' then
    redis.call('HDEL', BATCH, 'paused')
  else
    redis.call('HSET', BATCH, 'paused', ARGV[2])
  end
  redis.call('PUBLISH', ARGV[3], cmsgpack.pack({'batches'}))
end
return redis.call('HGETALL', BATCH)
