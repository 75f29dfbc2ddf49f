-- include batch
-- Its owner ends a batch. ARGV: 2 when, 3 channel of all, 4.. the statuses that lead to
-- `cancelling`. Answers its fields.
local status = redis.call('HGET', BATCH, 'status')
for place = 4, #ARGV do
  if ARGV[place] == status then
    enter('cancelling', ARGV[2])
    redis.call('PUBLISH', ARGV[3], cmsgpack.pack({'batches'}))
  end
end
return redis.call('HGETALL', BATCH)
