-- include hooks
-- Lets leased deliveries wait. ARGV: 2 owner, 3 due_at, 4.. ids.
for at = 4, #ARGV do
  local found = redis.call('HMGET', post_key(ARGV[at]), 'leased_by', 'receiver')
  if found[1] == ARGV[2] then
    free(ARGV[at], found[2], ARGV[3])
    place(found[2])
  end
end
return 1
