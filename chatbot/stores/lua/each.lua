-- Part of the verbs of records: runs one on each record of a call, whose arguments are `size` of ARGV from the second on.
-- A foreign value under a record's key, or a full memory, is told in that record's place; other errors (no master, say)
-- come before any write, and are the whole call's.
local function each(size, verb)
  local out = {}
  for a = 2, #ARGV, size do
    local fine, answer = pcall(verb, a)
    if not fine then
      answer = {err = type(answer) == 'table' and answer.err or tostring(answer)}
      if not (answer.err:find('^WRONGTYPE') or answer.err:find('^OOM')) then error(answer) end
    end
    out[#out+1] = answer
  end
  return out
end
