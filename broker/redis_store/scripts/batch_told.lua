-- include batch
-- Nobody need run a batch any more: it has ended, and that was told.
if not is_fenced_off() and not is_running(ID) then
  redis.call('HSET', BATCH, 'told', '1')
  redis.call('ZREM', KEYS[13], ID)
end
return 1
