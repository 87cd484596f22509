"""What Redis does in one step: the Lua scripts on the keys of a conversation, a user, the store.

The state of a conversation is a hash:

- ``owner``: whose it is; ``claim``: the change that is about to store its first row, if that is
  not stored yet.
- ``next_turn``: the next turn to be given.
- ``version``: what :attr:`Connections` has told of the server when this was last compared with the
  rows; another one means that Redis may have lost something of it since.
- ``epoch``, ``clean``: the hot context is true where both are the same.
- ``floor``: it has every message of a later turn than this.
- ``length``: how many entries its stream has, if nothing of it was lost.
- ``w:TOKEN``: a change under way that adds messages.
- ``touched``: when something was last said, in milliseconds; where idle sessions are ended, or
  asked.

Each script may run twice, where its answer was lost.
"""

from __future__ import annotations

from bruno_memory_vec.sessions.redis.connection import Script

#: How many seq a block of the ledger has, as bits of a string of 16 KiB.
BLOCK = 2**17

#: The mark of a row that another process has removed before its own change was recorded.
GONE = '["gone"]'

_BEGUN = """
local function begun(state)
  redis.call('HSETNX', state, 'epoch', 1)
  redis.call('HSETNX', state, 'clean', 1)
  redis.call('HSETNX', state, 'floor', -1)
  redis.call('HSETNX', state, 'length', 0)
end
"""

#: What several scripts on a conversation begin with: a hash that is missing, or another version's,
#: is brought to what the rows have. ``known`` is "" where the caller has not looked yet, "none"
#: where there is no row, "rows" where ``owner`` and ``next`` follow from them. False: look first.
_BROUGHT = (
    _BEGUN
    + """
local function brought(state, make, version, known, owner, next, gap)
  local its = redis.call('HMGET', state, 'version', 'next_turn', 'owner', 'claim')
  if its[1] == version then return true end
  if known == '' then return false end
  if known == 'none' and not its[1] and not make then return true end
  local least, stale = 0, 0
  if known == 'rows' then
    least, stale = tonumber(next) + tonumber(gap), 1
    if not its[3] or its[4] then redis.call('HSET', state, 'owner', owner) end
    redis.call('HDEL', state, 'claim')
  elseif its[1] then
    least = tonumber(gap)
  end
  redis.call('HSET', state, 'version', version,
    'next_turn', string.format('%.0f', math.max(tonumber(its[2] or 0), least)))
  begun(state)
  redis.call('HINCRBY', state, 'epoch', stale)
  return true
end
"""
)

_STALE = """
local function become_stale(state, hot)
  redis.call('HINCRBY', state, 'epoch', 1)
  if redis.call('EXISTS', hot) == 1 then redis.call('XTRIM', hot, 'MAXLEN', 0) end
  redis.call('HSET', state, 'length', 0)
end
"""

#: KEYS state, hot. ARGV version, known, owner, next, gap, user, turns, token, process.
#: Returns {0}: look into the rows; {1, first turn}; {2, owner, claim}: it is another user's.
CLAIM = Script(
    _BROUGHT
    + """
if not brought(KEYS[1], true, unpack(ARGV, 1, 5)) then return {0} end
local its = redis.call('HMGET', KEYS[1], 'owner', 'claim')
if its[1] and its[1] ~= ARGV[6] then return {2, its[1], its[2] or ''} end
if not its[1] then redis.call('HSET', KEYS[1], 'owner', ARGV[6], 'claim', ARGV[8]) end
redis.call('HSET', KEYS[1], 'w:' .. ARGV[8], ARGV[9])
return {1, redis.call('HINCRBY', KEYS[1], 'next_turn', ARGV[7]) - ARGV[7]}
"""
)

#: KEYS state. ARGV version, known, owner, next, gap. Returns {0} where the rows have to be looked
#: into, else {1, the state as a flat list}.
STATE = Script(
    _BROUGHT
    + """
if not brought(KEYS[1], false, unpack(ARGV, 1, 5)) then return {0} end
return {1, redis.call('HGETALL', KEYS[1])}
"""
)

#: KEYS state, hot, active. ARGV version, known, owner, next, gap, user, limit, now.
#: Returns {0} where the rows have to be looked into, else {1, state, how many entries there are,
#: how many turns are hot, {turn, message, ...} of the last ones, active sessions}.
CONTEXT = Script(
    _BROUGHT
    + """
if not brought(KEYS[1], false, unpack(ARGV, 1, 5)) then return {0} end
local state = redis.call('HGETALL', KEYS[1])
if ARGV[8] ~= '' and redis.call('HEXISTS', KEYS[1], 'owner') == 1 then
  redis.call('HSET', KEYS[1], 'touched', ARGV[8])
end
local floor = tonumber(redis.call('HGET', KEYS[1], 'floor') or -1)
local entries = redis.call('XREVRANGE', KEYS[2], '+', '-')
local newest, turns = {}, {}
for _, entry in ipairs(entries) do
  local of = {}
  for at = 1, #entry[2], 2 do of[entry[2][at]] = entry[2][at + 1] end
  local turn = tonumber(of.turn)
  if turn > floor and of.user == ARGV[6] and not newest[turn] then
    newest[turn] = of.message
    turns[#turns + 1] = turn
  end
end
table.sort(turns)
local shown = {}
for at = math.max(1, #turns - ARGV[7] + 1), #turns do
  shown[#shown + 1] = string.format('%.0f', turns[at])
  shown[#shown + 1] = newest[turns[at]]
end
return {1, state, #entries, #turns, shown, redis.call('HGETALL', KEYS[3])}
"""
)

#: KEYS state, hot. ARGV version, gap, user, next turn, lowest turn, most entries, lifetime in ms,
#: token, now, then turn, seq, message and kind of each message.
#: A hash that is missing or another version's is true from now on only where the messages begin it.
APPLY = Script(
    _BEGUN
    + _STALE
    + """
local state, hot = KEYS[1], KEYS[2]
local its = redis.call('HMGET', state, 'version', 'next_turn', 'owner')
redis.call('HSETNX', state, 'owner', ARGV[3])
redis.call('HDEL', state, 'claim')
begun(state)
local next = tonumber(ARGV[4])
if its[1] ~= ARGV[1] then
  if its[1] or tonumber(ARGV[5]) > 0 or ARGV[8] ~= '' then
    become_stale(state, hot)
    next = next + tonumber(ARGV[2])
  end
  redis.call('HSET', state, 'version', ARGV[1])
end
redis.call('HSET', state, 'next_turn', string.format('%.0f', math.max(tonumber(its[2] or 0), next)))
if #ARGV > 9 then
  if redis.call('XLEN', hot) ~= tonumber(redis.call('HGET', state, 'length')) then
    become_stale(state, hot)
  end
  for at = 10, #ARGV, 4 do
    redis.call('XADD', hot, '*', 'turn', ARGV[at], 'seq', ARGV[at + 1], 'user', ARGV[3],
      'message', ARGV[at + 2], 'kind', ARGV[at + 3])
  end
  if (#ARGV - 9) / 4 >= tonumber(ARGV[6]) / 2 then
    -- There may have been more, of which these are the last.
    local floor = math.max(tonumber(redis.call('HGET', state, 'floor')), tonumber(ARGV[5]) - 1)
    redis.call('HSET', state, 'floor', string.format('%.0f', floor))
  end
  local over = redis.call('XLEN', hot) - tonumber(ARGV[6])
  if over > 0 then
    local floor = tonumber(redis.call('HGET', state, 'floor'))
    for _, entry in ipairs(redis.call('XRANGE', hot, '-', '+', 'COUNT', over)) do
      for at = 1, #entry[2], 2 do
        if entry[2][at] == 'turn' then floor = math.max(floor, tonumber(entry[2][at + 1])) end
      end
    end
    redis.call('HSET', state, 'floor', string.format('%.0f', floor))
    redis.call('XTRIM', hot, 'MAXLEN', ARGV[6])
  end
  redis.call('HSET', state, 'length', redis.call('XLEN', hot))
  if ARGV[7] ~= '0' then redis.call('PEXPIRE', hot, ARGV[7]) end
end
if ARGV[8] ~= '' then redis.call('HDEL', state, 'w:' .. ARGV[8]) end
if ARGV[9] ~= '' then redis.call('HSET', state, 'touched', ARGV[9]) end
"""
)

#: KEYS state, hot. ARGV version, gap, owner, next turn, force, token.
#: The hot messages become stale.
RESTORE = Script(
    _BEGUN
    + _STALE
    + """
local its = redis.call('HMGET', KEYS[1], 'version', 'next_turn', 'owner', 'claim')
local next = tonumber(ARGV[4])
if its[1] ~= ARGV[1] then next = next + tonumber(ARGV[2]) end
if not its[3] or its[4] or ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'owner', ARGV[3]) end
redis.call('HDEL', KEYS[1], 'claim', 'w:' .. ARGV[6])
begun(KEYS[1])
redis.call('HSET', KEYS[1], 'version', ARGV[1],
  'next_turn', string.format('%.0f', math.max(tonumber(its[2] or 0), next)))
become_stale(KEYS[1], KEYS[2])
"""
)

#: KEYS state, hot. ARGV token, whether it becomes stale. A change under way has ended; what it has
#: claimed for a row that never came is nobody's again.
RELEASE = Script(
    _STALE
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call('HDEL', KEYS[1], 'w:' .. ARGV[1])
if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'claim', 'owner')
end
if ARGV[2] == '1' then become_stale(KEYS[1], KEYS[2]) end
"""
)

#: KEYS state, hot.
MARK_STALE = Script(
    _STALE
    + """
if redis.call('HEXISTS', KEYS[1], 'owner') == 1 then become_stale(KEYS[1], KEYS[2]) end
"""
)

#: KEYS state, hot. ARGV epoch and next turn when the rows were read, user, whether these are all
#: messages, lifetime in ms, then turn, seq and message of each.
REFILL = Script(
    """
local its = redis.call('HMGET', KEYS[1], 'epoch', 'next_turn')
if its[1] ~= ARGV[1] then return end
local gone, floor = {}, -1
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'turn' and tonumber(entry[2][at + 1]) < tonumber(ARGV[2]) then
      redis.call('XDEL', KEYS[2], entry[1])
    end
  end
end
for at = 6, #ARGV, 3 do
  redis.call('XADD', KEYS[2], '*', 'turn', ARGV[at], 'seq', ARGV[at + 1], 'user', ARGV[3],
    'message', ARGV[at + 2], 'kind', 'refill')
end
if ARGV[4] ~= '1' and #ARGV > 5 then floor = tonumber(ARGV[6]) - 1 end
redis.call('HSET', KEYS[1], 'clean', ARGV[1], 'floor', string.format('%.0f', floor),
  'length', redis.call('XLEN', KEYS[2]))
if ARGV[5] ~= '0' then redis.call('PEXPIRE', KEYS[2], ARGV[5]) end
"""
)

#: KEYS hot, state. ARGV seq of lost rows. Returns seq, user and turn of those that were hot.
TAKE_LOST = Script(
    """
local lost, found = {}, {}
for _, seq in ipairs(ARGV) do lost[seq] = true end
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
  local of = {}
  for at = 1, #entry[2], 2 do of[entry[2][at]] = entry[2][at + 1] end
  if lost[of.seq] then
    redis.call('XDEL', KEYS[1], entry[1])
    found[#found + 1] = of.seq
    found[#found + 1] = of.user
    found[#found + 1] = of.turn
  end
end
if #found > 0 then
  redis.call('HINCRBY', KEYS[2], 'epoch', 1)
  redis.call('HSET', KEYS[2], 'length', redis.call('XLEN', KEYS[1]))
end
return found
"""
)

#: KEYS state, hot, active, askers. ARGV session, user, whether it is active, what is kept of an
#: active one, whether it is new.
SAVE_SESSION = Script(
    """
local owner = redis.call('HGET', KEYS[1], 'owner')
if ARGV[5] == '1' and (not owner or owner == ARGV[2]) then
  redis.call('SADD', KEYS[4], ARGV[2])
end
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
else
  redis.call('HDEL', KEYS[3], ARGV[1])
end
"""
)

#: KEYS state. ARGV version, user. A conversation whose id nobody else can know.
BEGIN = Script(
    _BEGUN
    + """
if redis.call('HSETNX', KEYS[1], 'owner', ARGV[2]) == 1 then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'next_turn', 0)
  begun(KEYS[1])
end
"""
)

#: KEYS about. ARGV conversation.
LEAVE = Script(
    """
if redis.call('HGET', KEYS[1], 'current') == ARGV[1] then redis.call('HDEL', KEYS[1], 'current') end
"""
)

#: KEYS sessions. ARGV session. The position of a session in the order of creation.
STARTED = Script(
    """
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if known then return known end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
local started = string.format('%.0f', tonumber(last[2] or 0) + 1)
redis.call('ZADD', KEYS[1], started, ARGV[1])
return started
"""
)

#: KEYS a hash of "start" and "number". ARGV by how much the number grows. A version that is lost
#: comes back as another one, since it starts at the time.
VERSION = Script(
    """
if redis.call('EXISTS', KEYS[1]) == 0 then
  local now = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'start', now[1] .. now[2], 'number', 0)
end
local number = redis.call('HINCRBY', KEYS[1], 'number', ARGV[1])
return {redis.call('HGET', KEYS[1], 'start'), number}
"""
)

#: KEYS the last seq of a row. ARGV seq, lifetime in ms. Returns the one before; nothing for none.
STORED = Script(
    """
local before = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return before
"""
)

#: KEYS meta, changes. ARGV version, how many, least, token, gap. Returns the first number, or -1
#: where the store has to be made anew from the rows.
SEQS = Script(
    """
local its = redis.call('HMGET', KEYS[1], 'whole', 'next_seq')
if its[1] ~= ARGV[1] then return -1 end
local least = tonumber(ARGV[3])
if not its[2] or tonumber(its[2]) < least then
  if least > 0 then least = least + tonumber(ARGV[5]) end
  redis.call('HSET', KEYS[1], 'next_seq', string.format('%.0f', least))
end
local first = redis.call('HINCRBY', KEYS[1], 'next_seq', ARGV[2]) - ARGV[2]
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[4] .. '|seqs', string.format('%.0f-%.0f', first,
    first + ARGV[2] - 1))
end
return first
"""
)

#: KEYS meta, blocks, marks, changes, and the blocks. ARGV version, last seq, token, whether that
#: change ends with this, mark, then how many ranges are added and how many removed, and of each
#: range its block (as number of its key), its number and the first and last bit; then the seq that
#: get the mark. Returns 0 where the store has to be made anew from the rows, 2 where the change is
#: not noted, so that nothing was added, else 1.
#:
#: A row may be removed by another process before the change that has stored it is recorded: it is
#: marked as gone until then, and is not added. What a change adds counts only until the change has
#: ended, since the script may run again after its answer was lost.
RECORD = Script(
    """
local its = redis.call('HMGET', KEYS[1], 'whole', 'last_seq')
if ARGV[1] ~= '' and its[1] ~= ARGV[1] then return 0 end
local marked, more = redis.call('EXISTS', KEYS[3]) == 1, 0
local adds = ARGV[3] == '' or redis.call('HEXISTS', KEYS[4], ARGV[3]) == 1
local function of_changes()
  local found, fields = {}, redis.call('HGETALL', KEYS[4])
  for at = 1, #fields, 2 do
    local low, high = string.match(fields[at + 1], '^(%d+)%-(%d+)$')
    if low and string.sub(fields[at], -5) == '|seqs' then
      found[#found + 1] = {tonumber(low), tonumber(high)}
    end
  end
  return found
end
local ranges, at = tonumber(ARGV[6]) + tonumber(ARGV[7]), 8
for range = 1, ranges do
  local key, block = KEYS[tonumber(ARGV[at])], tonumber(ARGV[at + 1])
  local start, bit = block * BLOCK, 1
  if range > tonumber(ARGV[6]) then bit = 0 else redis.call('SADD', KEYS[2], ARGV[at + 1]) end
  local first, last = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local early = {}
  if bit == 0 then
    for _, change in ipairs(of_changes()) do
      for place = math.max(first, change[1] - start), math.min(last, change[2] - start) do
        if redis.call('GETBIT', key, place) == 0 then early[#early + 1] = place end
      end
    end
  end
  if bit == 0 or adds then
    -- Whole bytes at once, the bits beside them one by one.
    local low, high = math.ceil(first / 8), math.floor((last + 1) / 8) - 1
    if low <= high then
      local before = redis.call('BITCOUNT', key, low, high)
      redis.call('SETRANGE', key, low, string.rep(string.char(bit * 255), high - low + 1))
      more = more + bit * (high - low + 1) * 8 - before
    else
      low, high = math.floor(last / 8) + 1, math.floor(last / 8)
    end
    for place = first, math.min(last, low * 8 - 1) do
      if redis.call('SETBIT', key, place, bit) ~= bit then more = more + bit * 2 - 1 end
    end
    for place = math.max(first, (high + 1) * 8), last do
      if place >= low * 8 and redis.call('SETBIT', key, place, bit) ~= bit then
        more = more + bit * 2 - 1
      end
    end
    for place = first, marked and last or -1 do
      local seq = string.format('%.0f', start + place)
      if bit == 1 and redis.call('HGET', KEYS[3], seq) == GONE then
        more = more - redis.call('SETBIT', key, place, 0)
      else
        redis.call('HDEL', KEYS[3], seq)
      end
    end
    for _, place in ipairs(early) do
      redis.call('HSET', KEYS[3], string.format('%.0f', start + place), GONE)
    end
  end
  at = at + 4
end
if more ~= 0 then redis.call('HINCRBY', KEYS[1], 'rows', more) end
for place = at, #ARGV do redis.call('HSET', KEYS[3], ARGV[place], ARGV[5]) end
if ARGV[2] ~= '' and tonumber(ARGV[2]) > tonumber(its[2] or -1) then
  redis.call('HSET', KEYS[1], 'last_seq', ARGV[2])
end
if ARGV[4] == '1' then
  local own = redis.call('HGET', KEYS[4], ARGV[3] .. '|seqs') or ''
  local low, high = string.match(own, '^(%d+)%-(%d+)$')
  for seq = tonumber(low or 0), marked and tonumber(high or -1) or -1 do
    local field = string.format('%.0f', seq)
    if redis.call('HGET', KEYS[3], field) == GONE then redis.call('HDEL', KEYS[3], field) end
  end
  redis.call('HDEL', KEYS[4], ARGV[3], ARGV[3] .. '|seqs', ARGV[3] .. '|removed')
end
return adds and 1 or 2
""".replace("BLOCK", str(BLOCK)).replace("GONE", f"'{GONE}'")
)

#: KEYS meta, blocks, marks, changes. ARGV what the keys of the blocks begin with.
#: Returns last seq, {block, bits, ...}, {seq, mark, ...}, {change, what, ...}.
LEDGER = Script(
    """
local blocks = {}
for _, block in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  blocks[#blocks + 1] = block
  blocks[#blocks + 1] = redis.call('GET', ARGV[1] .. block) or ''
end
return {redis.call('HGET', KEYS[1], 'last_seq') or '-1', blocks, redis.call('HGETALL', KEYS[3]),
  redis.call('HGETALL', KEYS[4])}
"""
)

#: KEYS about a user. ARGV the profile that was seen ("" for none), the new one. Returns 1 if it is
#: saved, 0 if another one is there.
REPLACE_PROFILE = Script(
    """
local saved = redis.call('HGET', KEYS[1], 'profile') or ''
if saved == ARGV[2] then return 1 end
if saved ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'profile', ARGV[2])
return 1
"""
)

#: KEYS meta. ARGV version, gap. The store was made anew from the rows, or is found whole: true
#: for this version of the server. Another version gives no number that was given before.
WHOLE = Script(
    """
local known = redis.call('HGET', KEYS[1], 'whole')
if known ~= ARGV[1] then
  if redis.call('HEXISTS', KEYS[1], 'next_seq') == 1 then
    redis.call('HINCRBY', KEYS[1], 'next_seq', ARGV[2])
  end
  redis.call('HSET', KEYS[1], 'whole', ARGV[1])
end
"""
)
