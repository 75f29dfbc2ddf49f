-- include clock
-- Part of the scripts about files. The last of KEYS is the zset of files by expires_at; its name
-- begins the others': `<id>`, a hash; `<id>:parts`, a list; `of:<tenant>`, a zset by created_at.
local FILES = KEYS[#KEYS]

local function file_key(id)
  return FILES .. ':' .. id
end

local function parts_key(id)
  return file_key(id) .. ':parts'
end

local function files_of(tenant)
  return FILES .. ':of:' .. tenant
end

local function make_file(id, tenant, created_at, expires_at, fields)
  redis.call('HSET', file_key(id), 'tenant', tenant, 'created_at', created_at,
    'expires_at', expires_at, unpack(fields))
  redis.call('ZADD', FILES, expires_at, id)
  redis.call('ZADD', files_of(tenant), created_at, id)
end

local function add_part(id, part, bytes)
  redis.call('RPUSH', parts_key(id), part)
  redis.call('HINCRBY', file_key(id), 'bytes', bytes)
end
