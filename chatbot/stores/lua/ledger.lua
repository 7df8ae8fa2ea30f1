-- Part of every verb. KEYS[1] = {ns:p}due routes the call; ARGV[1] = {ns:p}; every other key shares that tag.
local P, C = ARGV[1], redis.call
local t = C('TIME')
local us = t[1] * 1000000 + t[2]
local now = math.floor(us / 1000)
local OPEN, MOST = 2592000000, 1000
-- `..` on a Lua number keeps 14 digits; an epoch has 16.
local function str(v) return string.format('%.0f', v) end
local function load(key)
  local h = {size=0, epoch=0, owner='', lease=0, beat=0, suspect=0, hold=0, fails=0, lost=0, pubs=0, pub=0,
             bytes=0, tbytes=0, urgent=0, parts='', wait=0, max=0, items=1, cap=0, idttl=0}
  local r = C('HGETALL', P..'k:'..key)
  for i = 1, #r, 2 do h[r[i]] = type(h[r[i]]) == 'number' and tonumber(r[i+1]) or r[i+1] end
  return h
end
local function keep(key)
  C('PEXPIRE', P..'k:'..key, OPEN); C('PEXPIRE', P..'l:'..key, OPEN); C('PEXPIRE', KEYS[1], OPEN)
end
-- A full store refuses a script's first growing write, and nothing after a write that it allowed.
local function drain() C('PEXPIRE', KEYS[1], OPEN) end
