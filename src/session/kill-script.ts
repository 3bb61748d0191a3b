/**
 * Shell text (POSIX sh; dash, bash, busybox) that ends every process of a run and prints a verdict as its last
 * line: `remex-killed tree <ended> <survivor pid>…`, or `remex-killed noproc` where the host has no /proc.
 *
 * A process belongs to the run when its environment carries the run id (which finds what went through setsid,
 * double forks or nohup), when its arguments do (the first shell of the run, and sudo before it), or when its parent
 * or session leader belongs to it (which finds what cleared its environment, and what runs as another user). TERM first, with CONT so that stopped processes hear
 * it; what is left after the grace gets KILL until a scan finds nothing new.
 *
 * The first shell is found by its command line and comes first: a shell whose child ends before it does would go on to
 * the next step of its text.
 * The grace is measured by /proc/uptime (hundredths of a second), because scans take time of their own.
 * Each `/proc/<pid>/stat` is read by the shell itself: no fork per process.
 */
export function killScript(runId: string, graceMs: number): string {
  return SCRIPT.replaceAll('@ID@', runId).replaceAll('@GRACE@', String(Math.ceil(graceMs / 10)))
}

/**
 * One pass finds the children of what the pass before found; mostly one is enough, because a child has a higher
 * pid than its parent. A tree that forks all the time would give every pass something new.
 */
const PASSES = 3
/** A tree that has grown by so many since it was told to end is not ending: it gets no more grace. */
const GROWTH = 32
/** How often KILL is repeated for trees that fork while they are being ended. */
const KILL_ROUNDS = 40

const SCRIPT = `
LC_ALL=C; export LC_ALL
[ -r /proc/self/environ ] || { echo remex-killed noproc; exit 0; }
seen=' '; live=; id='@ID@'
scan() {
  live=' '
  for f in $(grep -lF "REMEX_RUN_ID=$id;" /proc/[0-9]*/cmdline 2>/dev/null; grep -lzxF "REMEX_RUN_ID=$id" /proc/[0-9]*/environ 2>/dev/null); do
    f=\${f#/proc/}; live="$live\${f%/*} "
  done
  [ "$live$seen" = '  ' ] && return
  more=1; pass=0
  while [ $more = 1 ] && [ $pass -lt ${PASSES} ]; do
    more=0; alive=' '; pass=$((pass+1))
    for f in /proc/[0-9]*/stat; do
      read -r line 2>/dev/null < "$f" || continue
      p=\${line%% *}
      set -- \${line##*) }
      case $1 in Z|X|x) continue;; esac
      alive="$alive$p "
      case $live in *" $p "*) continue;; esac
      case "$live$seen" in
        *" $2 "*|*" $4 "*) [ "$p" = $$ ] || { live="$live$p "; more=1; };;
      esac
    done
  done
  kept=' '
  for p in $live; do
    case $kept in *" $p "*) continue;; esac
    case $alive in *" $p "*) kept="$kept$p ";; esac
  done
  live=$kept
  for p in $live; do case $seen in *" $p "*) ;; *) seen="$seen$p ";; esac; done
}
send() {
  kill -$1 $live 2>/dev/null && return
  for p in $live; do
    kill -$1 $p 2>/dev/null || { [ -d /proc/$p ] && sudo -n kill -$1 $p 2>/dev/null; }
  done
}
now() { read -r up rest < /proc/uptime; up=\${up%.*}\${up#*.}; }
scan
send TERM; send CONT
set -- $live; most=$(($#+${GROWTH}))
now; end=$((up+@GRACE@))
while [ "$live" != ' ' ] && [ $up -lt $end ]; do
  sleep 0.05 2>/dev/null || sleep 1
  scan; now
  set -- $live; [ $# -le $most ] || break
done
n=0
while [ "$live" != ' ' ] && [ $n -lt ${KILL_ROUNDS} ]; do
  send KILL; n=$((n+1)); scan
  [ "$live" = ' ' ] || [ $n -lt 3 ] || sleep 0.02 2>/dev/null
done
set -- $seen; ended=$#
set -- $live; ended=$((ended-$#))
echo remex-killed tree $ended $live
`
