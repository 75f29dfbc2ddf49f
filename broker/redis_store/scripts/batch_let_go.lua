-- include batch
-- Gives up a hold.
if not is_fenced_off() then
  redis.call('HDEL', BATCH, 'owner', 'until')
end
return 1
