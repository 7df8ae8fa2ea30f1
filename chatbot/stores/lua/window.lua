-- At most one token: whoever takes it looks at all that is due. On a cluster nobody can wait for the tokens of many slots.
local function wake()
  if CLUSTER then C('PUBLISH', P:match('^{(.*):')..':wake', P)
  elseif C('LLEN', P..'wake') == 0 then C('LPUSH', P..'wake', 1); C('PEXPIRE', P..'wake', OPEN) end
end
-- When a key must be looked at next. The score in `due` may be stale, never early: it is recomputed at every look.
-- `later`: not sooner than it already was to be, so nobody who sleeps until then need hear of it.
local function look(key, at, later)
  local new = C('ZADD', KEYS[1], at, key) == 1
  if (new or not later) and C('ZRANGE', KEYS[1], 0, 0)[1] == key then wake() end
end
-- returns the time at which the window behind the turn is due, and whether it is full or urgent
-- `count`: items of the turn and the window; `first`, `last`: when the window's arrived
local function ends(h, count, first, last)
  if h.hold > now then return h.hold end
  if h.parts ~= '' or h.urgent == 1 or h.bytes - h.tbytes >= h.cap or count - h.size >= h.items then return now, true end
  return math.min(last + h.wait, first + h.max)
end
-- returns the same of what the list holds now; nil: there is no window
local function due(key, h)
  local l = P..'l:'..key
  local first = C('LINDEX', l, h.size)
  if not first then return nil end
  return ends(h, C('LLEN', l), first:sub(1, 13), C('LINDEX', l, -1):sub(1, 13))
end
-- Nothing runs: the next window, or "empty, so release", in the same step.
local function rest(key, h)
  local at = due(key, h)
  if at then look(key, at); keep(key) else C('DEL', P..'k:'..key); C('ZREM', KEYS[1], key) end
end
-- The items stay where they are; the next take gives them a new epoch.
local function dissolve(key, h)
  h.size, h.tbytes, h.owner, h.lease, h.suspect, h.fails, h.lost, h.pubs, h.pub = 0, 0, '', 0, 0, 0, 0, 0, 0
  C('HSET', P..'k:'..key, 'size', 0, 'tbytes', 0, 'owner', '', 'lease', 0, 'suspect', 0, 'fails', 0, 'lost', 0, 'pubs', 0, 'pub', 0)
end
