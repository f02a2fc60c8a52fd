-- Times hits alone, while every so many-th request is a miss. wrk's own percentiles can't tell the two apart.
-- wrk -s hits.lua URL -- PATH HOT EVERY FIRST COLD
--   PATH: documents are at PATHk000000, PATHk000001, …; each contains its number, so that an answer is known for what
--         it answers. HOT: that many are read in turn, more than there are connections. EVERY: how many-th reads another
--         one, 0 for never. FIRST, COLD: those others, in turn: COLD documents from number FIRST on.

local ffi = require("ffi")
ffi.cdef [[
   typedef struct { long seconds; long nanoseconds; } moment;
   int clock_gettime(int clock, moment *now);
]]
local MONOTONIC = 1
local BUCKET = 5 -- microseconds

local threads = {}
local moment = ffi.new("moment")
local sent = {} -- when, of those that are under way, by name
local hot, cold = {}, {}
local every, count = 0, 0
hits, misses = {}, 0 -- global: `done` asks the thread for them

local function now()
   ffi.C.clock_gettime(MONOTONIC, moment)
   return tonumber(moment.seconds) * 1e6 + tonumber(moment.nanoseconds) / 1e3
end

function setup(thread)
   threads[#threads + 1] = thread
end

local function requests(path, first, size)
   local made = { at = 0 }
   for number = first, first + size - 1 do
      local name = string.format("k%06d", number)
      made[#made + 1] = { name = name, text = wrk.format("GET", path .. name) }
   end
   return made
end

function init(args)
   every = tonumber(args[3])
   hot = requests(args[1], 0, tonumber(args[2]))
   cold = requests(args[1], tonumber(args[4]), tonumber(args[5]))
end

-- The next one that is not under way: of two answers alike one couldn't tell which came first.
local function take(from)
   repeat
      from.at = from.at % #from + 1
   until not sent[from[from.at].name]
   return from[from.at]
end

function request()
   count = count + 1
   local next = take(every > 0 and count % every == 0 and cold or hot)
   sent[next.name] = now()
   return next.text
end

function response(status, headers, body)
   if status ~= 200 then return end -- it names no document, and wrk's report will tell
   local name = body:match("k%d+")
   local took = now() - sent[name]
   sent[name] = nil
   if headers["x-cache"] == "HIT" then
      local bucket = math.floor(took / BUCKET)
      hits[bucket] = (hits[bucket] or 0) + 1
   else
      misses = misses + 1
   end
end

-- Microseconds that so many percent of `total` don't exceed.
local function percentile(found, buckets, total, percent)
   local passed = 0
   for _, bucket in ipairs(buckets) do
      passed = passed + found[bucket]
      if passed >= percent / 100 * total then return (bucket + 1) * BUCKET end
   end
end

function done(summary)
   local found, buckets, total = threads[1]:get("hits"), {}, 0
   for bucket, many in pairs(found) do
      buckets[#buckets + 1] = bucket
      total = total + many
   end
   if total == 0 then return end
   table.sort(buckets)
   io.write(string.format(
      "figures: %f requests/s p50 %d us p99 %d us p99.9 %d us\nhits: %d misses: %d\n",
      total / summary.duration * 1e6,
      percentile(found, buckets, total, 50),
      percentile(found, buckets, total, 99),
      percentile(found, buckets, total, 99.9),
      total, threads[1]:get("misses")
   ))
end
