-- include batch
-- Notes how far the queue has confirmed its lines. ARGV: 3 the packed cursor.
if is_fenced_off() then
  return 0
end
redis.call('HSET', BATCH, 'fed', ARGV[3])
return 1
