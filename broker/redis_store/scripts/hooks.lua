-- Part of the scripts about deliveries of webhooks. KEYS: 1 zset: receivers by when the first of
-- their line may be leased, or by their turn; 2 set: tenants that something was settled of. ARGV: 1
-- what stands before the other names, which share the hash tag: `post:<id>`, a hash; `line:<receiver>`,
-- a zset of what is pending by when it may be leased; `of:<tenant>`, a zset of all by created_at;
-- `settled:<tenant>`, a zset by when. Instants in s of Redis.
local LINES, TENANTS, PREFIX = KEYS[1], KEYS[2], ARGV[1]
local time = redis.call('TIME')
local NOW = tonumber(time[1]) + tonumber(time[2]) / 1000000

local function exact(number)
  return string.format('%.17g', number)
end

local function post_key(id)
  return PREFIX .. 'post:' .. id
end

local function line_key(receiver)
  return PREFIX .. 'line:' .. receiver
end

local function settled_key(tenant)
  return PREFIX .. 'settled:' .. tenant
end

-- A line that is due keeps its turn; `served` is sent behind the others.
local function place(receiver, served)
  local first = redis.call('ZRANGE', line_key(receiver), 0, 0, 'WITHSCORES')[2]
  if not first then
    redis.call('ZREM', LINES, receiver)
  elseif tonumber(first) > NOW then
    redis.call('ZADD', LINES, first, receiver)
  elseif served then
    redis.call('ZADD', LINES, exact(NOW), receiver)
  else
    local turn = redis.call('ZSCORE', LINES, receiver)
    if not turn or tonumber(turn) > NOW then
      redis.call('ZADD', LINES, first, receiver)
    end
  end
end

local function wait(id, receiver, at)
  redis.call('ZADD', line_key(receiver), exact(at), id)
end

local function lease(id, receiver, owner, lease_s)
  local ends = NOW + tonumber(lease_s)
  redis.call('HSET', post_key(id), 'leased_by', owner, 'leased_until', exact(ends))
  wait(id, receiver, ends)
end

local function free(id, receiver, due_at)
  redis.call('HDEL', post_key(id), 'leased_by', 'leased_until')
  redis.call('HSET', post_key(id), 'due_at', due_at)
  wait(id, receiver, tonumber(due_at))
end

local function drop(id, tenant)
  redis.call('DEL', post_key(id))
  redis.call('ZREM', PREFIX .. 'of:' .. tenant, id)
  redis.call('ZREM', settled_key(tenant), id)
end

-- Of each tenant `most` settled ones stay.
local function settle(id, tenant, receiver, state, most)
  redis.call('HSET', post_key(id), 'state', state)
  redis.call('HDEL', post_key(id), 'leased_by', 'leased_until')
  redis.call('ZREM', line_key(receiver), id)
  redis.call('ZADD', settled_key(tenant), exact(NOW), id)
  redis.call('SADD', TENANTS, tenant)
  local over = redis.call('ZCARD', settled_key(tenant)) - tonumber(most)
  if over > 0 then
    for _, old in ipairs(redis.call('ZRANGE', settled_key(tenant), 0, over - 1)) do
      drop(old, tenant)
    end
  end
end
