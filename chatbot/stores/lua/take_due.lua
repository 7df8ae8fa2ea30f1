-- include: ledger window
-- ARGV: limit, publish lease ms, republish base ms
-- returns { {key, epoch, stamp}..., ms until the next look (-1 = nothing scheduled) }
drain()
local limit, lease, again, out = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), {}
for _, key in ipairs(C('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit)) do
  local h, k, l = load(key), P..'k:'..key, P..'l:'..key
  local m = C('HMGET', P..'m', key:match('^[^/]*')..':mark', key:match('^[^/]*')..':last')
  local at, wait = due(key, h), nil
  if h.size > 0 then
    local ends = h.suspect > 0 and math.min(h.lease, h.suspect) or h.lease
    if h.owner ~= '' and ends > now then wait = ends
    elseif h.hold > now then wait = h.hold
    elseif h.pub > 0 and tonumber(m[1] or 0) < h.pub + again / 2 and now - tonumber(m[2] or 0) < again then
      wait = now + math.min(math.max(again, now - h.pub), 600000)
    end
  else wait = at end
  if h.size == 0 and not at then
    C('ZREM', KEYS[1], key); C('DEL', k)
  elseif wait and wait > now then
    C('ZADD', KEYS[1], wait, key); keep(key)
  else
    if h.size == 0 then
      local all = C('LLEN', l)
      local part, rest_of = tonumber(h.parts:match('^%d+')), h.parts:match(',(.*)$') or ''
      local n, bytes = math.min(all, part or h.items), h.bytes
      if n < all or bytes > h.cap then
        bytes = 0
        for j, e in ipairs(C('LRANGE', l, 0, n - 1)) do
          if j > 1 and bytes + #e - 29 > h.cap then n = j - 1 break end
          bytes = bytes + #e - 29
        end
      end
      -- What a policy that has shrunk meanwhile leaves of a part must not merge with what follows.
      if part and n < part then rest_of = (part - n)..(rest_of ~= '' and ','..rest_of or '') end
      h.epoch, h.pubs = math.max(h.epoch + 1, us), 0
      C('HSET', k, 'size', n, 'tbytes', bytes, 'epoch', str(h.epoch), 'parts', rest_of,
        'urgent', n < all and h.urgent or 0, 'hold', 0)
    end
    C('HSET', k, 'pub', -now, 'lease', math.min(h.lease, now), 'suspect', 0)
    C('ZADD', KEYS[1], now + lease, key); keep(key)
    out[#out+1] = {key, str(h.epoch), now}
  end
end
local head = C('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {out, head and math.max(0, math.ceil(head - now)) or -1}
