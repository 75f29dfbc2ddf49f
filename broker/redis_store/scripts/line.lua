-- include record
-- Part of the scripts that make or end a request which may be a line of a batch (PROTOCOL 7). The
-- hash of a batch is named by KEYS[13] and its id; its statuses at the end are those of a request.
local function batch_key(batch)
  return KEYS[13] .. ':' .. batch
end

local function done_key(batch)
  return batch_key(batch) .. ':done'
end

local function ends_key(batch)
  return batch_key(batch) .. ':ends'
end

local function batch_status(batch)
  return redis.call('HGET', batch_key(batch), 'status')
end

local function is_running(batch)
  local status = batch_status(batch)
  return status and not TERMINAL[status]
end

local function is_due(batch, line)
  return redis.call('GETBIT', done_key(batch), line) == 0
end

-- Lines are made in order: where one was, all before it were, whatever a rollback has taken since.
local function note_made(batch, line)
  local made = redis.call('HGET', batch_key(batch), 'made')
  if tonumber(made or 0) <= line then
    redis.call('HSET', batch_key(batch), 'made', line + 1)
  end
end

-- Notes the end of a line, for its batch to gather; false where that has ended itself. In the order
-- of the input the bits tell what can be gathered, else the list.
local function end_line(batch, line)
  local found = redis.call('HMGET', batch_key(batch), 'status', 'order')
  if not found[1] or TERMINAL[found[1]] then
    return false
  end
  redis.call('SETBIT', done_key(batch), line, 1)
  if found[2] ~= 'input' then
    redis.call('RPUSH', ends_key(batch), line)
  end
  return true
end
