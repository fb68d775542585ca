// RabbitMQ's Java client, which comes back by itself and declares all anew: prints what arrives until it is stopped.

import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DeliverCallback;
import java.util.Map;

public class LivesOn {
    public static void main(String[] arguments) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(arguments[0]);
        factory.setNetworkRecoveryInterval(300);
        Connection connection = factory.newConnection();
        Channel channel = connection.createChannel();
        channel.queueDeclare(arguments[1], true, false, false, Map.of("x-max-priority", 3));
        String own = channel.queueDeclare().getQueue();
        channel.queueBind(own, "amq.fanout", "");
        DeliverCallback take = (tag, message) -> {
            System.out.println("got " + new String(message.getBody()));
            channel.basicAck(message.getEnvelope().getDeliveryTag(), false);
        };
        channel.basicConsume(arguments[1], false, take, tag -> { });
        channel.basicConsume(own, false, take, tag -> { });
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
