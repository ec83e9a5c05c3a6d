// An app with what an assembly may hold: nested stacks, a stage, an image, the old synthesis, a lookup.
const path = require('path');
const cdk = require('aws-cdk-lib');
const { aws_ecs: ecs, aws_ec2: ec2, aws_lambda: lambda, aws_s3: s3, aws_sns: sns, aws_sqs: sqs } = cdk;

const variant = new Set((process.env.VARIANT || '').split(','));
const app = new cdk.App();
const env = { account: '111111111111', region: 'eu-west-1' };
const code = lambda.Code.fromAsset(path.join(__dirname, 'code'));
const fn = (scope, id, more) => new lambda.Function(scope, id, {
  runtime: lambda.Runtime.NODEJS_22_X, handler: 'index.handler', code: lambda.Code.fromAsset(path.join(__dirname, 'code')), ...more,
});

function fill(stack) {
  const data = new s3.Bucket(stack, 'Data', variant.has('bucket') ? { bucketName: 'fixed-name' } : {});
  const api = fn(stack, 'Api', { environment: { DATA: data.bucketName } });
  new lambda.Alias(stack, 'Live', { aliasName: 'live', version: api.currentVersion });
  const inner = new cdk.NestedStack(stack, 'Inner');
  new sqs.Queue(inner, variant.has('rename') ? 'Jobs' : 'Queue', { fifo: true });
  fn(inner, 'Worker');
  new sns.Topic(new cdk.NestedStack(inner, 'Deep'), 'Topic', variant.has('topic') ? { displayName: 'x' } : {});
}

fill(new cdk.Stack(app, 'Data', { env, description: variant.has('description') ? 'other' : 'data', tags: { team: 'x' } }));
const web = new ecs.FargateTaskDefinition(new cdk.Stack(app, 'Web', { env }), 'Task');
web.addContainer('web', { image: ecs.ContainerImage.fromAsset(path.join(__dirname, 'image'), { buildArgs: { A: '1' } }) });
fill(new cdk.Stack(new cdk.Stage(app, 'Prod', { env: { account: '222222222222', region: 'us-east-1' } }), 'Data'));
fill(new cdk.Stack(app, 'Old', { synthesizer: new cdk.LegacyStackSynthesizer() }));
new s3.Bucket(new cdk.Stack(app, 'Anywhere'), 'Bucket');
if (variant.has('lookup')) {
  const net = new cdk.Stack(app, 'Net', { env: { account: '111111111111', region: 'eu-central-1' } });
  new cdk.CfnOutput(net, 'Zones', { value: cdk.Fn.join(',', net.availabilityZones) });
}
app.synth();
