-- Edits or withdraws an item that is still behind the turn and the parts that wait; nil: it is not there.
local function edit(key, h, id, body, space, act, target)
  local l, from = P..'l:'..key, h.size
  for n in h.parts:gmatch('%d+') do from = from + n end
  for j, e in ipairs(C('LRANGE', l, from, -1)) do
    if e:sub(14, 29) == target then
      local grow = (act == 'amend' and #body or 0) - (#e - 29)
      if grow > 0 and h.bytes + grow > space then return {'overflow'} end
      if act == 'amend' then C('LSET', l, from + j - 1, e:sub(1, 29)..body)
      else C('LREM', l, 1, e); C('SET', P..'i:'..target, -1, 'PX', h.idttl) end
      C('SET', P..'i:'..id, -1, 'PX', OPEN)
      h.bytes = h.bytes + grow
      h.urgent = due(key, h) and h.urgent or 0
      C('HSET', P..'k:'..key, 'bytes', h.bytes, 'urgent', h.urgent)
      if h.size == 0 then rest(key, h) else keep(key) end
      return {act == 'amend' and 'amended' or 'withdrawn'}
    end
  end
  return act == 'withdraw' and {'late'} or nil
end
-- What a call's policy says, each in its place as text; what a turn leaves and a replay have no limits.
local function policy(wait, max, items, cap, idttl, room, space, mode)
  local act, target = (mode or 'queue'):match('^(%a+):?(.*)$')
  return {wait=tonumber(wait), max=tonumber(max), items=math.max(1, math.min(tonumber(items), MOST)), cap=tonumber(cap),
          idttl=tonumber(idttl), room=tonumber(room) or math.huge, space=tonumber(space) or math.huge, act=act, target=target}
end
-- Check and append are one step: an id that is remembered has its item in the list, or had it.
local function append(key, id, body, p)
  local k, l, i = P..'k:'..key, P..'l:'..key, P..'i:'..id
  local seen = C('GET', i)
  if seen then return {'duplicate', seen} end
  local h = load(key)
  local edited = p.target ~= '' and edit(key, h, id, body, p.space, p.act, p.target)
  if edited then return edited end
  if C('LLEN', l) >= p.room or h.bytes + #body > p.space then return {'overflow'} end
  C('SET', i, '0', 'PX', MONTH)
  local count, ran = C('RPUSH', l, clock..id..body), h.size > 0
  if p.act == 'supersede' and h.size > 0 and h.parts == '' and now < C('LINDEX', l, 0):sub(1, 13) + p.max then
    dissolve(key, h)
  end
  h.bytes = h.bytes + #body
  local same = h.wait == p.wait and h.max == p.max and h.items == p.items and h.cap == p.cap and h.idttl >= p.idttl
  if same then C('HSET', k, 'bytes', h.bytes)
  else
    h.wait, h.max, h.items, h.cap, h.idttl = p.wait, p.max, p.items, p.cap, math.max(h.idttl, p.idttl)
    C('HSET', k, 'bytes', h.bytes, 'wait', h.wait, 'max', h.max, 'items', h.items, 'cap', h.cap, 'idttl', h.idttl)
  end
  if p.wait == 0 and h.urgent == 0 then h.urgent = 1; C('HSET', k, 'urgent', 1) end
  local opened = count == h.size + 1
  local first = opened and now or tonumber(C('LINDEX', l, h.size):sub(1, 13))
  local at, full = ends(h, count, first, now)
  if h.size == 0 then look(key, at, same and not ran and not opened and not full) end
  if opened or now - first > RARELY then hold(key) end
  return {opened and 'opened' or full and 'full' or 'joined'}
end
