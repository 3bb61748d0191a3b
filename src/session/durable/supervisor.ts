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
 *   cut      there is one when output past the limit was thrown away
 *   stop     why it is being ended, by the first who wanted that: timed_out or cancelled
 *   verdict  what the kill script said
 *   end      how it ended; put in place by a rename, so it is whole or not there
 */
export const SUPERVISOR = `
d=$1 id=$2 limit=$3 most=$4 kill=$5 cwd=$6 command=$7
umask 077
exec 9<>"$d/alive" </dev/null >/dev/null 2>&1
boot=none; read -r boot < /proc/sys/kernel/random/boot_id
echo "$boot $$ $(date +%s)" > "$d/begun.new" && mv "$d/begun.new" "$d/begun" || exit 1
: > "$d/stdout" && : > "$d/stderr" || exit 1
(
  exec >> "$d/stdout" 2>> "$d/stderr" 9<&-
  [ ! -e "$d/stdin" ] || exec < "$d/stdin"
  [ -z "$cwd" ] || CDPATH= cd -- "$cwd" || exit
  REMEX_RUN_ID=$id; export REMEX_RUN_ID
  exec /bin/sh -c "$command"
) & child=$!
LC_ALL=C
trap '' HUP INT QUIT PIPE TERM
# Only jobs tells an exit status of 137 from a SIGKILL, and only before the shell has forgotten the job.
trap 'kill -0 $child 2>/dev/null || [ -e "$d/jobs" ] || jobs -l > "$d/jobs"' CHLD
timer=; [ -z "$limit" ] || { sleep "$limit" 9<&- & timer=$!; }
status=
while kill -0 $child 2>/dev/null; do
  sleep 1 9<&- & tick=$!
  wait $child; status=$?
  kill -0 $child 2>/dev/null || break
  if [ -n "$timer" ] && ! kill -0 $timer 2>/dev/null; then
    timer=
    if (set -C; echo timed_out > "$d/stop") 2>/dev/null; then
      /bin/sh -c "$kill" > "$d/verdict.new" 9<&-; mv "$d/verdict.new" "$d/verdict"
    fi
  fi
  kill $tick 2>/dev/null
  for f in stdout stderr; do
    [ -z "$(find "$d/$f" -size "+\${most}c")" ] || { : > "$d/cut"; dd if=/dev/null of="$d/$f" bs=1 seek="$most"; }
  done
done
kill $timer $tick 2>/dev/null
how=
[ ! -e "$d/jobs" ] || while read -r line; do case $line in *" $child "*) how=\${line#*" $child "};; esac; done < "$d/jobs"
n=0
while [ -e "$d/stop" ] && [ ! -e "$d/verdict" ] && [ $n -lt 100 ]; do sleep 0.1 || sleep 1; n=$((n+1)); done
{
  echo "status $status"; echo "how $how"
  [ ! -e "$d/stop" ] || { read -r stop < "$d/stop"; echo "stop $stop"; }
  [ ! -e "$d/verdict" ] || { read -r verdict < "$d/verdict"; echo "verdict $verdict"; }
  echo "stdout $(wc -c < "$d/stdout")"; echo "stderr $(wc -c < "$d/stderr")"
  [ ! -e "$d/cut" ] || echo cut
  echo "time $(date +%s)"
} > "$d/end.new"
mv "$d/end.new" "$d/end"
`
