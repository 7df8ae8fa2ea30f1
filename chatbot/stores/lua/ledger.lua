-- Part of every verb. KEYS[1] = {ns:p}due routes the call; ARGV[1] = {ns:p}; every other key shares that tag.
local P, C = ARGV[1], redis.call
local t = C('TIME')
local us = t[1] * 1000000 + t[2]
local now = math.floor(us / 1000)
local clock = string.format('%.0f', now)
local OPEN, MOST = 2592000000, 1000
-- As text: the server writes each number that it is given with 17 digits before it reads it. Open work is kept for an
-- hour more than `OPEN`, so that not each item that joins a window has to prolong it.
local MONTH, KEPT, RARELY = '2592000000', '2595600000', 3600000
-- `..` on a Lua number keeps 14 digits; an epoch has 16.
local function str(v) return string.format('%.0f', v) end
local IDLE = {size=0, epoch=0, owner='', lease=0, beat=0, suspect=0, hold=0, fails=0, lost=0, pubs=0, pub=0,
              bytes=0, tbytes=0, urgent=0, parts='', wait=0, max=0, items=1, cap=0, idttl=0}
local OF_IDLE = {__index=IDLE}
local function load(key)
  local h, r = setmetatable({}, OF_IDLE), C('HGETALL', P..'k:'..key)
  for i = 1, #r, 2 do
    local f, v = r[i], r[i+1]
    h[f] = type(IDLE[f]) == 'number' and tonumber(v) or v
  end
  return h
end
-- A full store refuses a script's first growing write, and nothing after a write that it allowed.
local function drain() C('PEXPIRE', KEYS[1], KEPT) end
local function hold(key) C('PEXPIRE', P..'k:'..key, KEPT); C('PEXPIRE', P..'l:'..key, KEPT) end
local function keep(key) hold(key); drain() end
