-- include record
-- PROTOCOL 4: the AMQP reply of an ended request was sent.
if TERMINAL[redis.call('HGET', KEYS[1], 'status')] then
  redis.call('HSET', KEYS[1], 'replied', '1')
end
return 1
