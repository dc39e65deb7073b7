# What the official image's own script does: the settings come from the environment.
mkdir -p "$JCLOUDS_FILESYSTEM_BASEDIR"
cat >/tmp/s3proxy.conf <<CONF
s3proxy.endpoint=$S3PROXY_ENDPOINT
s3proxy.authorization=$S3PROXY_AUTHORIZATION
s3proxy.identity=$S3PROXY_IDENTITY
s3proxy.credential=$S3PROXY_CREDENTIAL
jclouds.provider=$JCLOUDS_PROVIDER
jclouds.filesystem.basedir=$JCLOUDS_FILESYSTEM_BASEDIR
CONF
exec java -Xmx128m -jar "$(find /jars -name '*-jar-with-dependencies.jar')" --properties /tmp/s3proxy.conf
