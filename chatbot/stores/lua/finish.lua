-- include: ledger window append
-- ARGV: key epoch owner ok|dead|retry|split value delay result_ttl, then per follow-up: key id body wait max_wait max_items max_bytes id_ttl
-- returns {settled} {kept} {refused} {single: a turn of one cannot be split}
drain()
local key, epoch, owner, outcome, value, delay, ttl = unpack(ARGV, 2, 8)
local h, k, l, r, d, e = load(key), P..'k:'..key, P..'l:'..key, P..'r:'..key..':'..epoch, P..'d:'..key..':'..epoch, P..'e:'..key
if h.size == 0 or h.epoch ~= tonumber(epoch) or h.owner ~= owner then
  local was = C('GET', r)
  return {was and was:match('^%a+\n([^\n]*)') == owner and 'settled' or 'refused'}
end
if outcome == 'split' and h.size < 2 then return {'single'} end
if outcome == 'retry' or outcome == 'split' then
  if outcome == 'retry' then
    C('HSET', k, 'owner', '', 'lease', 0, 'suspect', 0, 'fails', h.fails + 1, 'pubs', 0, 'pub', 0)
  else
    local half = math.floor(h.size / 2)
    C('HSET', k, 'parts', half..','..(h.size - half)..(h.parts ~= '' and ','..h.parts or ''))
    dissolve(key, h)
  end
  C('HSET', k, 'hold', now + delay)
  look(key, now + delay); keep(key)
  return {'kept'}
end
local items, life = C('LRANGE', l, 0, h.size - 1), outcome == 'dead' and OPEN or tonumber(ttl)
for _, x in ipairs(items) do C('SET', P..'i:'..x:sub(14, 29), epoch, 'PX', h.idttl) end
if outcome == 'dead' then
  C('RPUSH', d, value)
  for _, x in ipairs(items) do C('RPUSH', d, x) end
  C('PEXPIRE', d, OPEN)
  C('ZREMRANGEBYSCORE', P..'dead', '-inf', now - OPEN); C('ZADD', P..'dead', now, key..':'..epoch); C('PEXPIRE', P..'dead', OPEN)
end
C('SET', r, outcome..'\n'..owner..'\n'..value, 'PX', ttl)
C('ZREMRANGEBYSCORE', e, '-inf', now); C('ZADD', e, now + life, epoch)
if C('PTTL', e) < life then C('PEXPIRE', e, life) end
C('LTRIM', l, h.size, -1)
h.bytes, h.hold = h.bytes - h.tbytes, 0
C('HSET', k, 'bytes', h.bytes, 'hold', 0)
dissolve(key, h)
for a = 9, #ARGV, 8 do
  local to, id, body = unpack(ARGV, a, a + 2)
  append(to, id, body, policy(unpack(ARGV, a + 3, a + 7)))
  if to == key then h = load(key) end
end
rest(key, h)
drain()
return {'settled'}
