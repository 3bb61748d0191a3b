/**
 * The supervisor of a durable run: POSIX sh (dash, bash, busybox ash), nothing installed on the host. It outlives the
 * connection that started it, in a session of its own.
 *
 * Arguments: `$1` the run's directory, `$2` the run id, `$3` the time limit in seconds or empty, `$4` the most bytes that
 * each output file may have, `$5` the kill script, `$6` the directory to start in or empty, `$7` the command.
 * The command's environment is the supervisor's own; it came on standard input and is in no file.
 *
 * In the run's directory (0700):
 *   claim    made by who made the directory: the hash of what is to run, boot id
 *   command  the command, for people
 *   stdin    the command's input, where it has one
 *   alive    a FIFO that the supervisor alone holds open for writing: its end is the end of the supervisor, however it came
 *   begun    from here on the command may have run: boot id, pid of the supervisor, time
 *   stdout, stderr   what the command wrote
 *   most     the most bytes that are kept of each: what a follower got beyond is not kept
 *   cut      there is one when output past the limit was thrown away
 *   jobs     what the shell said of its jobs, which tells an exit status from a signal
 *   stop     why it is being ended, by the first who wanted that: timed_out or cancelled
 *   verdict  what the kill script said
 *   end      how it ended; put in place by a rename, so it is whole or not there
 */
export const SUPERVISOR = `
exec 9<>"$1/alive" </dev/null 2>/dev/null
# Until the command has started no variable is set: the caller's may have the same name, and would reach it changed.
(
  LC_ALL=C PATH=/usr/bin:/bin\${PATH:+:$PATH} boot=none
  # What has a byte by now can be written on a disk that is full.
  cd -- "$1" && : > stdout && : > stderr && echo > jobs && echo > end.new && echo "$4" > most || exit
  read -r boot < /proc/sys/kernel/random/boot_id
  echo "$boot $$ $(date +%s)" > begun.new && mv begun.new begun
) || exit 1
# Who started us waits for the end of our standard output, which says that the command begins.
exec >/dev/null
# Only jobs tells an exit status of 137 from a SIGKILL. Bash forgets a job that was waited for, the others do not.
command -v shopt && trap 'jobs -l >> "$1/jobs"' CHLD
(
  exec >> "$1/stdout" 2>> "$1/stderr" 9<&-
  [ ! -e "$1/stdin" ] || exec < "$1/stdin"
  [ -z "$6" ] || CDPATH= cd -- "$6" || exit
  [ ! -e "$1/stop" ] || exit
  REMEX_RUN_ID=$2; export REMEX_RUN_ID
  exec /bin/sh -c "$7"
) & child=$!
LC_ALL=C PATH=/usr/bin:/bin\${PATH:+:$PATH} d=$1 limit=$3 most=$4 kill=$5 over=
export LC_ALL
nap() {
  sleep "$1" & nap=$!
  [ -z "$over" ] && wait $nap
  slept=$?
  [ -z "$over" ] || { kill -KILL $nap; exit; }
  return $slept
}
cut() {
  for f in "$d/stdout" "$d/stderr"; do
    [ -z "$(find "$f" -size "+\${most}c")" ] || { : > "$d/cut"; dd if=/dev/null of="$f" bs=1 seek="$most"; }
  done
}
clock() {
  exec 9<&-
  trap 'over=1; kill -KILL $nap' TERM
  nap "$limit" || nap $((\${limit%.*}+1))
  trap '' TERM
  (set -C; echo timed_out > "$d/stop")
  verdict=$(/bin/sh -c "$kill")
  # Without /proc only the first process is known.
  case $verdict in *noproc*) kill $child; sleep 1; kill -KILL $child;; esac
  [ -e "$d/verdict" ] || { echo "$verdict" > "$d/verdict.new"; mv "$d/verdict.new" "$d/verdict"; }
}
meter() {
  exec 9<&-
  trap 'over=1; kill -KILL $nap' TERM
  while nap 1 && kill -0 $child; do cut; done
}
watchers=
if [ -n "$limit" ]; then clock & watchers=$!; fi
meter & watchers="$watchers $!"
trap '' HUP INT QUIT PIPE TERM
wait $child; status=$?
trap - CHLD
jobs -l >> "$d/jobs"
# Posix mode of bash: the trap ended the wait, and a second one tells.
! command -v shopt || { wait $child; status=$?; }
how=
while [ -z "$how" ] && read -r line; do case $line in *" $child Running"*) ;; *" $child "*) how=\${line#*" $child "};; esac; done < "$d/jobs"
kill $watchers
n=0
while [ -e "$d/stop" ] && [ ! -e "$d/verdict" ] && [ $n -lt 100 ]; do sleep 0.1 || sleep 1; n=$((n+1)); done
end=$(
  echo "status $status"; echo "how $how"
  [ ! -e "$d/stop" ] || { read -r stop < "$d/stop"; echo "stop $stop"; }
  [ ! -e "$d/verdict" ] || { read -r verdict < "$d/verdict"; echo "verdict $verdict"; }
  cd "$d" && set -- $(wc -c stdout stderr)
  [ $1 -le "$most" ] && [ $3 -le "$most" ] || { cut; set -- $(wc -c stdout stderr); }
  echo "stdout $1"; echo "stderr $3"
  [ ! -e "$d/cut" ] || echo cut
  echo "time $(date +%s)"
)
n=0
until printf '%s\\n' "$end" 1<> "$d/end.new" && mv "$d/end.new" "$d/end"; do
  [ -d "$d" ] && [ $n -lt 600 ] || break; n=$((n+1)); sleep 1
done
wait $watchers
`
