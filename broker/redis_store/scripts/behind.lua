-- Part of the scripts that show a zset step by step: the entries behind a place in it, each with its
-- score. The place need not be one of ours.
local function rank_behind(key, newest, score, id)
  local added = redis.call('ZADD', key, 'NX', score, id)
  local rank = redis.call(newest and 'ZREVRANK' or 'ZRANK', key, id)
  if added == 1 then
    redis.call('ZREM', key, id)
    return rank
  end
  return rank + 1
end

local function entries_behind(key, newest, score, id, most)
  local from = rank_behind(key, newest, score, id)
  local range = {'ZRANGE', key, from, from + most - 1, 'WITHSCORES'}
  if newest then
    table.insert(range, 5, 'REV')
  end
  return redis.call(unpack(range))
end
