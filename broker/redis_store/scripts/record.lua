-- include clock
-- Part of every script about one request. KEYS: 1 record, 2 open set, 3 envelope, 4 result,
-- 5 processes to wake, 6 outbox, 7 dead letter, 8 counts, 9 joins, 10 dead letters, 11 models with
-- something waiting, 12 the body where it is kept, 13 batches; of a birth also 14 the tenant's list.
-- ARGV[1] is the request id.
local TERMINAL = {completed = true, failed = true, cancelled = true, expired = true}

-- The entry under which a held request is found by its body: the newest of equal bodies is last.
local function joined(tenant, body_hash, accepted_at)
  return tenant .. '\0' .. body_hash .. string.format('%020.6f', tonumber(accepted_at)) .. ARGV[1]
end
