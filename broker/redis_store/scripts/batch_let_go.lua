-- include batch
-- Gives up a hold.
if not is_fenced_off() then
  redis.call('DEL', HOLD)
end
return 1
