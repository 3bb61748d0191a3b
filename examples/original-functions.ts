// The four functions of the original Python service: original-functions.ts <config> <host> <local directory>
import { CommandTimeoutError, downloadFile, executeRemoteCommand, executeRemoteScript, uploadFile } from '../src/index.ts'

const [configPath = 'configs/config.yml', vmId = 'vm01', here = '.'] = process.argv.slice(2)

const result = await executeRemoteCommand(vmId, 'echo "$GREETING"; exit 3', 'operator', 30, { configPath, environment: { GREETING: 'hello' } })
console.log(result.exitCode, result.stdout)

await uploadFile(vmId, `${here}/report.sh`, 'report.sh', 'operator', { configPath })
const report = await executeRemoteScript(vmId, 'report.sh', 'operator', 60, { configPath, interpreter: 'sh', args: ['all hosts'] })
console.log(report.stdout)
await downloadFile(vmId, 'report.txt', `${here}/report.txt`, 'operator', { configPath })

try {
  await executeRemoteCommand(vmId, 'echo begun; sleep 60', 'operator', 1, { configPath })
} catch (error) {
  if (!(error instanceof CommandTimeoutError)) throw error
  console.log(error.code, error.message)
}
