-- Take messages off queues and record them as unacknowledged, in one step.
-- KEYS: unacked hash, unacked index, then the queues in order. ARGV: now (s), how many at most, how many of capped queues
-- at most, then 1 for each capped queue and 0 for the others.
-- Answers {queue number, 1 if it was recorded, item} each, the queues taking turns. An item that is no message is not
-- recorded.
local now, room, capped_room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local taken, empty = {}, {}
local left = #KEYS - 2

while room > 0 and left > 0 do
  for place = 3, #KEYS do
    if room > 0 and not empty[place] then
      local capped = ARGV[place + 1] == '1'
      local item = (not capped or capped_room > 0) and redis.call('RPOP', KEYS[place])
      if not item then
        empty[place] = true
        left = left - 1
      else
        local ok, message = pcall(cjson.decode, item)
        local properties = ok and type(message) == 'table' and message['properties']
        local tag = type(properties) == 'table' and properties['delivery_tag']
        local info = type(properties) == 'table' and properties['delivery_info']
        if type(tag) == 'string' and type(info) == 'table'
            and type(info['exchange']) == 'string' and type(info['routing_key']) == 'string' then
          redis.call('HSET', KEYS[1], tag, '[' .. item .. ',' .. cjson.encode(info['exchange']) .. ','
                     .. cjson.encode(info['routing_key']) .. ']')
          redis.call('ZADD', KEYS[2], now, tag)
          taken[#taken + 1] = {place - 2, 1, item}
        else
          taken[#taken + 1] = {place - 2, 0, item}
        end
        room = room - 1
        if capped then capped_room = capped_room - 1 end
      end
    end
  end
end
return taken
