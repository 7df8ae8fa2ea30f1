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
-- Check and append are one step: an id that is remembered has its item in the list, or had it.
local function append(key, id, body, wait, max, items, cap, idttl, room, space, mode)
  local k, l = P..'k:'..key, P..'l:'..key
  local seen = C('GET', P..'i:'..id)
  if seen then return {'duplicate', seen} end
  local h, act, target = load(key), mode:match('^(%a+):(.+)$')
  local edited = act and edit(key, h, id, body, tonumber(space), act, target)
  if edited then return edited end
  if C('LLEN', l) >= tonumber(room) or h.bytes + #body > tonumber(space) then return {'overflow'} end
  C('SET', P..'i:'..id, 0, 'PX', OPEN)
  local count = C('RPUSH', l, str(now)..id..body)
  if mode == 'supersede' and h.size > 0 and h.parts == '' and now < C('LINDEX', l, 0):sub(1, 13) + max then
    dissolve(key, h)
  end
  h.bytes, h.wait, h.max, h.cap = h.bytes + #body, tonumber(wait), tonumber(max), tonumber(cap)
  h.items, h.idttl = math.max(1, math.min(tonumber(items), MOST)), math.max(h.idttl, tonumber(idttl))
  if h.wait == 0 then h.urgent = 1 end
  C('HSET', k, 'bytes', h.bytes, 'wait', wait, 'max', max, 'items', h.items, 'cap', cap, 'urgent', h.urgent, 'idttl', h.idttl)
  local first = count > h.size + 1 and C('LINDEX', l, h.size):sub(1, 13) or now
  local at, full = ends(h, count, first, now)
  if h.size == 0 then look(key, at) end
  keep(key)
  return {count == h.size + 1 and 'opened' or full and 'full' or 'joined'}
end
