import { quoteWord } from '../../core/quote.ts'
import { killScript } from '../kill-script.ts'
import { GRACE_MS } from '../kill.ts'
import { SUPERVISOR } from './supervisor.ts'

/** What a run is started with. */
export interface StartOrder {
  readonly runId: string
  /** Shell text for /bin/sh. */
  readonly text: string
  /** For people, in `runs list`. */
  readonly shown: string
  readonly cwd: string | undefined
  /** `Infinity` for none. */
  readonly timeoutMs: number
  /** The most bytes that each output file may have. */
  readonly mostBytes: number
  /** What tells this run from another under the same id. */
  readonly hash: string
  /** The size of standard input, which follows; undefined: none. */
  readonly inputBytes: number | undefined
}

/** From where to go on, in bytes of each stream. */
export interface Offsets {
  readonly stdout: number
  readonly stderr: number
}

/** Ends the header of {@link fetchProgram}'s answer. */
export const HEADER_END = '.'

/** Output up to here comes with the answer to the start. */
const MOST_AT_ONCE = 32 * 1024

// The variables that the start sets must not be the caller's, which reach the command.
const ROOT = `remex_r=\${XDG_STATE_HOME:-$HOME/.local/state}/remex/runs; `

const enter = (runId: string): string => `${ROOT}cd "$remex_r/"${quoteWord(runId)} 2>/dev/null || { echo state none; echo ${HEADER_END}; exit 0; }\n`

/**
 * Claims the run's directory and starts the supervisor, or finds that it was claimed before. Prints one line:
 * `remex-run started`, `there` (the same run was started before), `other` (another command has this id),
 * `input` (not all of standard input came) or `unwritable` and why. Behind `started` and `there` comes what
 * {@link fetchProgram} prints, where the command has ended within a moment and said little: most do.
 * Source of the claim: mkdir(2) makes a directory for one caller only.
 */
export function startProgram(order: StartOrder): string {
  const { runId, hash, shown, inputBytes } = order
  const input = inputBytes === undefined ? ':' : `cat > "$remex_d/stdin"; [ "$(wc -c < "$remex_d/stdin")" -eq ${inputBytes} ] || { rm -rf "$remex_d"; echo remex-run input; exit 0; }`
  return `${ROOT}remex_d=$remex_r/${quoteWord(runId)}
[ -d "$remex_r" ] || (umask 077; mkdir -p "$remex_r") 2>/dev/null
if remex_m=$(mkdir -m 700 "$remex_d" 2>&1); then
  { printf '%s' ${quoteWord(shown)} > "$remex_d/command" && : > "$remex_d/stdout" && : > "$remex_d/stderr" && mkfifo "$remex_d/alive"; } 2>/dev/null || { rm -rf "$remex_d"; echo remex-run unwritable no space or no FIFO; exit 0; }
  ${input}
  echo ${hash} > "$remex_d/claim" || { rm -rf "$remex_d"; echo remex-run unwritable no space; exit 0; }
  remex_s=setsid; command -v setsid >/dev/null 2>&1 || remex_s=
  remex_x=$( { $remex_s /bin/sh -c ${quoteWord(SUPERVISOR)} remex-run ${supervisorArguments(order)} </dev/null 2>/dev/null & } )
  remex_w=started
elif [ -d "$remex_d" ]; then
  remex_n=0; while [ ! -s "$remex_d/claim" ] && [ $remex_n -lt 100 ]; do sleep 0.05 2>/dev/null || sleep 1; remex_n=$((remex_n+1)); done
  remex_h=; read -r remex_h < "$remex_d/claim"; remex_w=there
  [ "$remex_h" = ${hash} ] || { echo remex-run other; exit 0; }
  remex_n=0; until [ -e "$remex_d/begun" ] || [ $remex_n -ge 100 ]; do sleep 0.05 2>/dev/null || sleep 1; remex_n=$((remex_n+1)); done
else
  echo "remex-run unwritable $remex_m"; exit 0
fi
remex_n=0; until [ -e "$remex_d/end" ] || [ $remex_n -ge 5 ]; do sleep 0.003 2>/dev/null || break; remex_n=$((remex_n+1)); done
[ -e "$remex_d/begun" ] || { echo remex-run unwritable the supervisor did not start; exit 0; }
echo remex-run $remex_w
cd "$remex_d" && [ -e end ] || exit 0
remex_n=0; while read -r remex_k remex_v remex_x; do case $remex_k in stdout|stderr) remex_n=$((remex_n+remex_v));; esac; done < end
[ $remex_n -le ${MOST_AT_ONCE} ] || exit 0
echo state ended; cat end; echo ${HEADER_END}
[ $remex_n -eq 0 ] || { cat stdout; cat stderr >&2; }
`
}

function supervisorArguments({ runId, text, cwd, timeoutMs, mostBytes }: StartOrder): string {
  const limit = timeoutMs === Infinity ? '' : String(timeoutMs / 1000)
  const values = [runId, limit, String(mostBytes), killScript(runId, GRACE_MS), cwd ?? '', text]
  return ['"$remex_d"', ...values.map((value) => `'${value.replaceAll("'", String.raw`'\''`)}'`)].join(' ')
}

/**
 * Streams both outputs from the offsets on, until the supervisor's end, which closes its FIFO: nothing polls.
 * Ends by itself when its own standard input does, as it does when the client is gone.
 */
export function followProgram(runId: string, { stdout, stderr }: Offsets): string {
  return `${ROOT}cd "$remex_r/"${quoteWord(runId)} 2>/dev/null || exit 0
exec 5<&0 8<>alive 7<alive 8>&-
tail -c +${stdout + 1} -f stdout <&- 2>/dev/null & a=$!
tail -c +${stderr + 1} -f stderr <&- >&2 2>/dev/null & b=$!
( read -r x <&7 ) & w=$!
{ cat <&5 >/dev/null; kill $w; } 2>/dev/null & c=$!
wait $w
kill $a $b $c 2>/dev/null
wait $a $b 2>/dev/null
exit 0
`
}

/** Prints what is known of the run, a line each, {@link HEADER_END}, then what both outputs have behind the offsets. */
export function fetchProgram(runId: string, { stdout, stderr }: Offsets): string {
  return `${enter(runId)}${FACTS}facts; echo ${HEADER_END}
tail -c +${stdout + 1} stdout 2>/dev/null; tail -c +${stderr + 1} stderr >&2 2>/dev/null; exit 0
`
}

/** Prints what is known of every run, each after a line `run <id>`, and after the last a {@link HEADER_END}. */
export function listProgram(): string {
  return `${ROOT}${FACTS}
cd "$remex_r" 2>/dev/null && for i in *; do [ -d "$i" ] && [ ! -h "$i" ] || continue; (cd "$i" && echo "run $i" && facts); done
echo ${HEADER_END}
`
}

/** Ends the tree, if nobody has yet, and waits for the supervisor to write down how it ended. */
export function cancelProgram(runId: string): string {
  return `${enter(runId)}
n=0
while [ ! -e end ] && [ $n -lt 5 ]; do
  (set -C; echo cancelled > stop) 2>/dev/null
  read -r s < stop
  [ "$s" != cancelled ] || { /bin/sh -c ${quoteWord(killScript(runId, GRACE_MS))} > "verdict.$$"; [ -e verdict ] || mv "verdict.$$" verdict; rm -f "verdict.$$"; }
  k=0; while [ ! -e end ] && [ $k -lt 20 ]; do sleep 0.05 2>/dev/null || sleep 1; k=$((k+1)); done
  n=$((n+1))
done
${FACTS}facts; echo ${HEADER_END}
`
}

/** Removes runs that have ended or are lost, and says each as `pruned <id>`: one by its id, or all that are older. */
export function pruneProgram({ runId, olderThanMs }: { readonly runId: string | undefined; readonly olderThanMs: number }): string {
  const which = runId === undefined ? '*' : quoteWord(runId)
  return `${ROOT}${FACTS}
now=$(date +%s)
cd "$remex_r" 2>/dev/null && for i in ${which}; do
  [ -d "$i" ] && [ ! -h "$i" ] || continue
  (cd "$i" && case $(state) in running|starting) exit 1;; esac
   t=$(date -r . +%s 2>/dev/null || echo 0); [ ! -e end ] || while read -r k v; do [ "$k" != time ] || t=$v; done < end
   [ $((now-t)) -ge ${Math.round(olderThanMs / 1000)} ]) && rm -rf "./$i" && echo "pruned $i"
done
echo ${HEADER_END}
`
}

/** Shell functions: the state of the run in whose directory they are called, and all that is known of it. */
const FACTS = `
state() {
  [ ! -e end ] || { echo ended; return; }
  if [ ! -e begun ]; then
    # Somebody is starting it just now, or was ended before it began.
    [ -n "$(find . -prune -mmin -1 2>/dev/null)" ] && echo starting || echo unbegun
    return
  fi
  read -r b p t < begun
  c=none; read -r c 2>/dev/null < /proc/sys/kernel/random/boot_id
  if [ "$b" != "$c" ]; then echo rebooted
  elif kill -0 "$p" 2>/dev/null && { [ ! -r "/proc/$p/cmdline" ] || grep -q remex-run "/proc/$p/cmdline"; }; then echo running
  elif [ -e end ]; then echo ended
  else echo orphaned; fi
}
facts() {
  echo "state $(state)"
  [ ! -e begun ] || { read -r b p t < begun; echo "pid $p"; echo "begun $t"; }
  printf 'command %s\\n' "$(tr '\\n\\t' '  ' < command 2>/dev/null | cut -c1-300)"
  if [ -e end ]; then cat end; else echo "stdout $(wc -c < stdout 2>/dev/null)"; echo "stderr $(wc -c < stderr 2>/dev/null)"; [ ! -e cut ] || echo cut; fi
}
`
