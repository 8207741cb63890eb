-- Take messages off queues and record them as unacknowledged, in one step; first forget those that are acknowledged.
-- KEYS: unacked hash, unacked index, then the lists to take from, best first.
-- ARGV: now (s), how many at most, how many of capped queues at most, how many lists take turns (the first so many, then
-- the next so many), then 1 for each list of a capped queue and 0 for the others, then the acknowledged tags.
-- Answers {list number, 1 if it was recorded, item} each. An item that is no message is not recorded.
local now, room, capped_room, width = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local later_room = tonumber(ARGV[5])
local lists = #KEYS - 2
local taken, index, bodies = {}, {}, {}

local function envelope(item)
  local ok, message = pcall(cjson.decode, item)
  local properties = ok and type(message) == 'table' and message['properties']
  local tag = type(properties) == 'table' and properties['delivery_tag']
  local info = type(properties) == 'table' and properties['delivery_info']
  if type(tag) == 'string' and type(info) == 'table'
      and type(info['exchange']) == 'string' and type(info['routing_key']) == 'string' then
    return tag, '[' .. item .. ',' .. cjson.encode(info['exchange']) .. ',' .. cjson.encode(info['routing_key']) .. ']'
  end
end

local function take(list)
  local capped, later = tonumber(ARGV[5 + list]) % 2 == 1, tonumber(ARGV[5 + list]) >= 2
  local item = (not capped or capped_room > 0) and (not later or later_room > 0) and redis.call('RPOP', KEYS[2 + list])
  if not item then return false end
  local tag, body = envelope(item)
  if tag then
    index[#index + 1] = now
    index[#index + 1] = tag
    bodies[#bodies + 1] = tag
    bodies[#bodies + 1] = body
  end
  taken[#taken + 1] = {list, tag and 1 or 0, item}
  room = room - 1
  if capped then capped_room = capped_room - 1 end
  if later then later_room = later_room - 1 end
  return true
end

if #ARGV > 5 + lists then
  local acked = {unpack(ARGV, 6 + lists)}
  redis.call('ZREM', KEYS[2], unpack(acked))
  redis.call('HDEL', KEYS[1], unpack(acked))
end
for first = 1, lists, width do
  local last = math.min(first + width - 1, lists)
  local found = true
  while found and room > 0 do
    found = false
    for list = first, last do
      if room > 0 and take(list) then found = true end
    end
  end
end
for first = 1, #index, 1000 do  -- unpack has a limit
  local last = math.min(first + 999, #index)
  redis.call('ZADD', KEYS[2], unpack(index, first, last))
  redis.call('HSET', KEYS[1], unpack(bodies, first, last))
end
return taken
