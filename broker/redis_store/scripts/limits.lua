-- include slots
-- Part of every script about more than slots: broker/scheduling/rates.py, turns.py and reserving.py
-- in Redis. The last KEYS: reserved, booked, lapses. PREFIX makes the names of what each limit has;
-- they share the hash tag of those keys. Instants in s of Redis, ranks from 0.
local RESERVED, BOOKED, LAPSES = KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS]
local MINUTE_S, GRAIN_S, STEP_S, HONOURED_S, RANKS = 60, 0.000002, 5, 30, 4
local HOLD_S, HOLD_WEIGHT, LEAST_S, SOME = 1, 0.1, 0.001, 100
local PREFIX, NOW -- set by `at_now`
local rates, holds, bookings = {}, {}, {}

local function at_now(prefix)
  local time = redis.call('TIME')
  PREFIX, NOW = prefix, tonumber(time[1]) + tonumber(time[2]) / 1000000
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function exact(number)
  return string.format('%.17g', number)
end

local function cap_keys(key)
  return {PREFIX .. 'slots:' .. key, PREFIX .. 'pulse:' .. key, PREFIX .. 'paused:' .. key,
    PREFIX .. 'wanted:' .. key, PREFIX .. 'granted:' .. key}
end

local function turns_key(key, rank)
  return PREFIX .. 'turns:' .. key .. ':' .. rank
end

-- Bookings: {rank, at, rates = {key = cost}, caps = {key = true}}.
local function booking_of(request)
  if bookings[request] == nil then
    local packed = redis.call('HGET', BOOKED, request)
    bookings[request] = packed and cmsgpack.unpack(packed)
  end
  return bookings[request]
end

local function save_booking(request, booking)
  bookings[request] = booking
  redis.call('HSET', BOOKED, request, cmsgpack.pack(booking))
  redis.call('ZADD', LAPSES, exact(booking.at + HONOURED_S), request)
end

-- Buckets.
local function rate_of(key)
  local rate = rates[key]
  if not rate then
    local found = redis.call('HMGET', PREFIX .. 'rate:' .. key, 'full_at', 'lows', 'b0', 'b1', 'b2', 'b3')
    rate = {full_at = tonumber(found[1] or 0), lows = found[2] and cmsgpack.unpack(found[2]) or {},
      booked = {}}
    for rank = 0, RANKS - 1 do
      rate.booked[rank] = tonumber(found[rank + 3] or 0)
    end
    rates[key] = rate
  end
  return rate
end

local function changed(rate)
  rate.changed = true
  return rate
end

-- One that is full and under which nothing is booked needs no remembering.
local function save_rates()
  for key, rate in pairs(rates) do
    if rate.changed then
      local name = PREFIX .. 'rate:' .. key
      local booked = rate.booked[0] + rate.booked[1] + rate.booked[2] + rate.booked[3]
      if booked == 0 and rate.full_at <= NOW then
        redis.call('DEL', name)
      else
        redis.call('HSET', name, 'full_at', exact(rate.full_at), 'lows', cmsgpack.pack(rate.lows),
          'b0', exact(rate.booked[0]), 'b1', exact(rate.booked[1]),
          'b2', exact(rate.booked[2]), 'b3', exact(rate.booked[3]))
        local kept = booked == 0 and (rate.full_at - NOW) * 1000 + 1000 or KEPT_MS * 2
        redis.call('PEXPIRE', name, ms(kept))
      end
    end
  end
end

local function opens(rate, per_minute, cost, ahead)
  local taken = (ahead + math.min(cost, per_minute)) * MINUTE_S / per_minute
  return math.max(NOW, math.max(rate.full_at, NOW) + taken - MINUTE_S)
end

local function push_low(lows, at, debt)
  while lows[#lows] and lows[#lows][2] >= debt do
    lows[#lows] = nil
  end
  lows[#lows + 1] = {at, debt}
end

local function charge(key, per_minute, cost)
  local rate = changed(rate_of(key))
  local lows = rate.lows
  push_low(lows, NOW, math.max(0, rate.full_at - NOW))
  if #lows > 1 and lows[#lows][2] - lows[#lows - 1][2] < STEP_S then
    lows[#lows - 1][1] = NOW
    lows[#lows] = nil
  end
  rate.full_at = math.max(rate.full_at, NOW) + cost * MINUTE_S / per_minute
end

local function give_back(key, per_minute, cost, charged_at)
  local rate = rate_of(key)
  if rate.full_at <= NOW then
    return -- full again, whatever was charged
  end
  local returned, lows = cost * MINUTE_S / per_minute, {}
  for _, low in ipairs(rate.lows) do
    if low[1] > charged_at then
      returned = math.min(returned, low[2])
      break
    end
  end
  for _, low in ipairs(rate.lows) do
    push_low(lows, low[1], low[1] > charged_at and low[2] - returned or low[2])
  end
  rate.lows, rate.full_at = lows, rate.full_at - returned
  changed(rate)
end

-- Turns. Under a rate they are scored by the sum of all costs booked before them in their class.
local function end_of(key, turns)
  local last = redis.call('ZREVRANGE', turns, 0, 0, 'WITHSCORES')
  if not last[1] then
    return 0
  end
  return tonumber(last[2]) + booking_of(last[1]).rates[key]
end

local function cost_ahead(key, rank, request)
  local turns, ahead = turns_key(key, rank), 0
  for higher = 0, rank - 1 do
    ahead = ahead + rate_of(key).booked[higher]
  end
  local first = redis.call('ZRANGE', turns, 0, 0, 'WITHSCORES')
  if not first[1] then
    return ahead
  end
  local place = redis.call('ZSCORE', turns, request) or end_of(key, turns)
  return ahead + tonumber(place) - tonumber(first[2])
end

local function book_rate(key, rank, request, cost)
  local turns, rate = turns_key(key, rank), changed(rate_of(key))
  redis.call('ZADD', turns, exact(end_of(key, turns)), request)
  redis.call('PEXPIRE', turns, KEPT_MS * 2)
  rate.booked[rank] = rate.booked[rank] + cost
end

local function unbook(request)
  local booking = booking_of(request)
  if not booking then
    return
  end
  for key, cost in pairs(booking.rates) do
    local turns, rate = turns_key(key, booking.rank), changed(rate_of(key))
    redis.call('ZREM', turns, request)
    local some = redis.call('EXISTS', turns) == 1
    rate.booked[booking.rank] = some and rate.booked[booking.rank] - cost or 0
  end
  for key in pairs(booking.caps) do
    redis.call('ZREM', turns_key(key, booking.rank), request)
  end
  redis.call('HDEL', BOOKED, request)
  redis.call('ZREM', LAPSES, request)
  bookings[request] = false
end

-- Drops the turns nobody came for.
local function lapse()
  local over = redis.call('ZRANGEBYSCORE', LAPSES, '-inf', '(' .. exact(NOW), 'LIMIT', 0, SOME)
  for _, request in ipairs(over) do
    unbook(request)
  end
end

-- Caps of the caller: their turns are scored by the instants they were told.
local function hold_of(key)
  holds[key] = holds[key] or tonumber(redis.call('GET', PREFIX .. 'hold:' .. key) or HOLD_S)
  return holds[key]
end

-- The first one counts whole: until then it is a guess.
local function note_hold(key, held_s)
  local known = holds[key] or tonumber(redis.call('GET', PREFIX .. 'hold:' .. key) or held_s)
  holds[key] = known + HOLD_WEIGHT * (held_s - known)
  redis.call('SET', PREFIX .. 'hold:' .. key, exact(holds[key]), 'PX', KEPT_MS)
end

local function cap_opens(key, limit, room, rank, request)
  local due, ahead = 0, 0
  for higher = 0, rank - 1 do
    local turns = turns_key(key, higher)
    due = due + redis.call('ZCOUNT', turns, '-inf', exact(NOW))
    ahead = ahead + redis.call('ZCARD', turns)
  end
  local turns = turns_key(key, rank)
  local place = redis.call('ZRANK', turns, request) or redis.call('ZCARD', turns)
  due = due + math.min(place, redis.call('ZCOUNT', turns, '-inf', exact(NOW)))
  if due < room then
    return NOW
  end
  local turn = math.max(1, ahead + place + 1 - math.max(room, 0))
  return NOW + math.max(LEAST_S, turn * hold_of(key) / limit) -- never now: it is full
end
