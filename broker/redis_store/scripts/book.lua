-- include limits
-- PROTOCOL 3, reserve, with more limits than slots: broker/scheduling/reserving.py in one step.
-- KEYS as slots.lua for the backend's slots, the mark of live ones, then as limits.lua. ARGV: 1 limit,
-- 2 line, 3 prefix, 4 channel prefix, 5 backend, 6 packed {cap = pulse seen}, 7 packed wants, each
-- {id, request, rank, score, deadline, own, shared, under}: a limit is {key, most, cost of a rate or
-- false for a cap, tokens}, `under` tells whether it is under the cap beside live ones, which is
-- packed as 8. Answers the pulse, then for each want {1} go, {2, at, n} its turn, {3, n, at or false}
-- wait or {4, at, n} too late: n is the place among its limits, own before shared, then the cap
-- beside live ones, 0 for the slot.
local time = at_now(ARGV[3])
local me, channels, backend = ARGV[2], ARGV[4], ARGV[5]
local seen, wants = cmsgpack.unpack(ARGV[6]), cmsgpack.unpack(ARGV[7])
local lines, shut, live, beside = {}, {}, false, nil

local function line_of(key, limit, waits)
  if not lines[key] then
    local k = key == backend and KEYS or cap_keys(key)
    pulse(k, time, seen[key] or 0)
    lines[key] = enter(k, time, limit, waits and me, channels)
  end
  return lines[key]
end

local function when(limit, rank, request)
  local key, most, cost = limit[1], limit[2], limit[3]
  if cost then
    return opens(rate_of(key), most, cost, cost_ahead(key, rank, request))
  end
  return cap_opens(key, most, line_of(key, most).free, rank, request)
end

local function book(want, at, blocking)
  local request, rank = want[2], want[3]
  local booking = booking_of(request) or {rank = rank, rates = {}, caps = {}}
  booking.at = at
  for _, limit in ipairs(blocking) do
    local key, cost = limit[1], limit[3]
    if not cost then
      booking.caps[key] = true
    elseif not booking.rates[key] then
      book_rate(key, booking.rank, request, cost)
      booking.rates[key] = cost
    end
  end
  for key in pairs(booking.caps) do
    redis.call('ZADD', turns_key(key, booking.rank), exact(at), request)
    redis.call('PEXPIRE', turns_key(key, booking.rank), KEPT_MS * 2)
  end
  save_booking(request, booking)
end

-- Books what its own limits hold back; nothing where they let it go now.
local function turn(want)
  local request, rank, at, last, blocking = want[2], want[3], NOW, 0, {}
  for place, limit in ipairs(want[6]) do
    if not limit[3] and line_of(limit[1], limit[2]).closed then
      return {3, place, false}
    end
    local opens_at = when(limit, rank, request)
    if opens_at > NOW + GRAIN_S then
      blocking[#blocking + 1] = limit
    end
    if opens_at > at then
      at, last = opens_at, place
    end
  end
  if #blocking == 0 then
    local booking = booking_of(request)
    if booking and booking.at ~= NOW then
      booking.at = NOW
      save_booking(request, booking)
    end
  elseif at > want[5] then
    unbook(request)
    return {4, exact(at), last}
  else
    book(want, at, blocking)
    return {2, exact(at), last}
  end
end

local function go(want)
  local id, request, taken = want[1], want[2], {request = want[2], backend = backend, at = NOW, caps = {}, rates = {}}
  unbook(request)
  for _, limits in ipairs({want[6], want[7]}) do
    for _, limit in ipairs(limits) do
      if limit[3] then
        charge(limit[1], limit[2], limit[3])
        taken.rates[#taken.rates + 1] = limit
      else
        take(line_of(limit[1]), id)
        taken.caps[#taken.caps + 1] = limit[1]
      end
    end
  end
  take(line_of(backend), id)
  if want[8] then
    beside.take(id)
    taken.caps[#taken.caps + 1] = cmsgpack.unpack(ARGV[8])[1]
  elseif not live then
    live = true
    note_live(KEYS[6])
  end
  if #want[6] + #want[7] > 0 or want[8] then
    redis.call('HSET', RESERVED, id, cmsgpack.pack(taken))
  end
  return {1}
end

local function answer(want)
  local own, shared, score = #want[6], want[7], want[4]
  if redis.call('ZSCORE', KEYS[1], want[1]) then
    return {1} -- the same again: its first answer was lost
  end
  local later = turn(want)
  if later then
    return later
  end
  for place, limit in ipairs(shared) do
    local at = limit[3] and (shut[limit[1]] or when(limit, want[3], want[2]))
    if at and at > NOW + GRAIN_S then
      shut[limit[1]] = at -- nor may those behind it take what it waits for
      return {3, own + place, exact(at)}
    end
  end
  for place, limit in ipairs(shared) do
    local line = not limit[3] and line_of(limit[1], limit[2], true)
    if line and not admits(line, score) then
      wait(line, score)
      return {3, own + place, false}
    end
  end
  if want[8] and not beside.admits(score) then
    return {3, own + #shared + 1, false}
  end
  local line = line_of(backend)
  if not admits(line, score) then
    wait(line, score)
    return {3, 0, false}
  end
  return go(want)
end

lapse()
line_of(backend, tonumber(ARGV[1]), true)
if ARGV[8] ~= '' then
  local cap = cmsgpack.unpack(ARGV[8])
  beside = beside_live(cap_keys(cap[1]), KEYS[6], cap[2], line_of(backend))
end
local answers = {time}
for _, want in ipairs(wants) do
  answers[#answers + 1] = answer(want)
end
for _, line in pairs(lines) do
  leave(line)
end
if beside then
  beside.leave()
end
save_rates()
return answers
