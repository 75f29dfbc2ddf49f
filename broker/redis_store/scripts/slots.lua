-- Part of every script about a backend's slots (PROTOCOL 3, reserve), and about any other cap: `k`
-- are its keys: 1 slots, 2 pulse, 3 paused, 4 wanted, 5 granted. All times in ms of Redis. A line is
-- `owner \0 backend \0 model`: a pool of a process, as broker/scheduling/places.py has it.
local LEASE_MS, GAP_MS, PAUSE_MS, GRANT_MS, KEPT_MS = 8000, 3000, 2500, 1000, 604800000
local LIVE_MS = 60000 -- as LIVE_S of broker/ports/limits.py

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function ms(instant)
  return string.format('%.0f', instant)
end

-- When Redis was away or everybody was frozen, leases may have run out that are still in use; when
-- it came back without its last writes, reservations are missing. Both show in the pulse: too old
-- while slots are held, or older than the one the caller has `seen`. Then nothing is granted for
-- one round of re-assertion. An idle backend has an old pulse too, but it holds nothing.
local function pulse(k, time, seen)
  local last = tonumber(redis.call('GET', k[2]) or '0')
  if last < tonumber(seen)
      or (time - last > GAP_MS and redis.call('EXISTS', k[1]) == 1) then
    redis.call('SET', k[3], '1', 'PX', PAUSE_MS)
  end
  redis.call('SET', k[2], ms(time), 'PX', KEPT_MS)
end

local function paused(k)
  return redis.call('EXISTS', k[3]) == 1
end

local function free_of(k, time, limit)
  redis.call('ZREMRANGEBYSCORE', k[1], '-inf', '(' .. ms(time))
  local free = limit - redis.call('ZCARD', k[1])
  if redis.call('EXISTS', k[5]) == 1 then
    redis.call('ZREMRANGEBYSCORE', k[5], '-inf', ms(time))
    free = free - redis.call('ZCARD', k[5])
  end
  return free
end

-- Keeps one for the best that waits, and wakes its process.
local function grant(k, time, channels)
  local best = redis.call('ZPOPMIN', k[4])[1]
  if not best then
    return false
  end
  redis.call('ZADD', k[5], ms(time + GRANT_MS), best)
  redis.call('PEXPIRE', k[5], KEPT_MS)
  local owner, backend = string.match(best, '^(.-)%z(.-)%z')
  redis.call('PUBLISH', channels .. owner, cmsgpack.pack({'free', backend}))
  return true
end

local function look_for_the_best(line)
  local best = redis.call('ZRANGE', line.k[4], 0, 0, 'WITHSCORES')
  line.best = best[1] and tonumber(best[2])
end

-- What `me` may take from. Its own grant counts as free; what it leaves goes to the others at the
-- end.
local function enter(k, time, limit, me, channels)
  local line = {k = k, time = time, me = me, channels = channels, free = 0}
  if paused(k) then
    line.closed = true
    return line
  end
  if me then
    redis.call('ZREM', k[5], me)
    redis.call('ZREM', k[4], me)
    look_for_the_best(line)
  end
  line.free = free_of(k, time, limit)
  return line
end

-- Whether one is free for this score, after the better ones of others have been given theirs.
local function admits(line, score)
  while line.free > 0 and line.best and line.best < score and grant(line.k, line.time, line.channels) do
    line.free = line.free - 1
    look_for_the_best(line)
  end
  return line.free > 0
end

local function take(line, id)
  if redis.call('ZADD', line.k[1], 'NX', ms(line.time + LEASE_MS), id) == 1 then
    line.free = line.free - 1
  end
end

local function wait(line, score)
  line.waits = math.min(line.waits or score, score)
end

local function leave(line)
  while line.free > 0 and line.best and grant(line.k, line.time, line.channels) do
    line.free = line.free - 1
    look_for_the_best(line)
  end
  if line.waits then
    redis.call('ZADD', line.k[4], string.format('%.6f', line.waits), line.me)
    redis.call('PEXPIRE', line.k[4], 60000)
  end
  redis.call('PEXPIRE', line.k[1], KEPT_MS)
end

-- The cap on the lowest class beside live ones: `k` are its keys, `live` the mark of the backend. It
-- is always taken together with a slot, so the pulse of the slots is looked at for both.
local function beside_live(k, live, limit, line)
  local cap = {k = k, live = live, taken = {}}

  local function entered()
    cap.line = cap.line or enter(k, line.time, limit, line.me, line.channels)
    return cap.line
  end

  -- Whether one of this score may hold a slot; if not, it waits for that.
  function cap.admits(score)
    cap.holds = cap.holds or redis.call('EXISTS', live) == 1
    if not cap.holds or admits(entered(), score) then
      return true
    end
    wait(cap.line, score)
    return false
  end

  function cap.take(id)
    local new = redis.call('ZADD', k[1], 'NX', ms(line.time + LEASE_MS), id) == 1
    if new and cap.line then
      cap.line.free = cap.line.free - 1
    end
  end

  function cap.leave()
    if cap.line then
      leave(cap.line)
    else
      redis.call('ZREMRANGEBYSCORE', k[1], '-inf', '(' .. ms(line.time))
      redis.call('PEXPIRE', k[1], KEPT_MS)
    end
  end

  return cap
end

local function note_live(live)
  redis.call('SET', live, '1', 'PX', LIVE_MS)
end

-- After `freed` were given back: each is kept for the best that waits then.
local function pass_on(k, time, freed, channels)
  while freed > 0 and not paused(k) and grant(k, time, channels) do
    freed = freed - 1
  end
end
